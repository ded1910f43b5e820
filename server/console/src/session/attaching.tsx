import { Cross2Icon, FilePlusIcon } from '@radix-ui/react-icons'
import { IconButton, Text } from '@radix-ui/themes'
import { useRef, useState, type ReactNode } from 'react'
import type { AttachedFile } from 'vigil-client'
import { problemOf, type Problem } from '../api/problem.ts'
import { ProblemNote } from '../ui/parts.tsx'
import { sizeWords } from './words.ts'

/** The largest file: what the table takes, less what sealing adds. */
const MaxFileBytes = 20_000_000
const MaxFiles = 10

export interface Attached {
  readonly files: readonly AttachedFile[]
  readonly busy: boolean
  readonly problem: Problem | null
  readonly add: (files: readonly File[]) => void
  readonly remove: (id: string) => void
  readonly clear: () => void
}

const tooLarge = (name: string): Problem => ({ title: `${name} is too large`, next: `A file may have ${sizeWords(MaxFileBytes)} at most.`, code: 'file_size' })

/** Files that go with the next message: sealed and stored as they are chosen. */
export function useAttached(attach: (file: File) => Promise<AttachedFile>): Attached {
  const [files, setFiles] = useState<readonly AttachedFile[]>([])
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<Problem | null>(null)
  const add = async (chosen: readonly File[]): Promise<void> => {
    setBusy(true)
    setProblem(null)
    for (const file of chosen.slice(0, MaxFiles - files.length)) {
      try {
        if (file.size > MaxFileBytes) {
          setProblem(tooLarge(file.name))
          continue
        }
        const stored = await attach(file)
        setFiles((old) => [...old, stored])
      } catch (thrown) {
        setProblem(problemOf(thrown, `attach ${file.name}`))
      }
    }
    setBusy(false)
  }
  return {
    files, busy, problem,
    add: (chosen) => { void add(chosen) },
    remove: (id) => { setFiles((old) => old.filter((one) => one.id !== id)) },
    clear: () => { setFiles([]) },
  }
}

export function Attaching(props: { readonly attached: Attached }): ReactNode {
  const { attached } = props
  const input = useRef<HTMLInputElement>(null)
  return (
    <div className="attaching">
      {attached.problem === null ? null : <ProblemNote problem={attached.problem} />}
      {attached.files.length === 0 ? null : <Text as="p" size="1">No detector reads files: say in the message what matters.</Text>}
      <ul className="files" aria-label="Files to send">
        {attached.files.map((file) => (
          <li key={file.id}>
            {file.name} <span className="file-size">{sizeWords(file.bytes)}</span>
            <IconButton type="button" size="1" variant="ghost" color="gray" aria-label={`Do not send ${file.name}`} onClick={() => { attached.remove(file.id) }}><Cross2Icon /></IconButton>
          </li>
        ))}
      </ul>
      <input
        ref={input} className="visually-hidden" type="file" multiple tabIndex={-1} aria-hidden="true"
        onChange={(event) => {
          attached.add([...(event.target.files ?? [])])
          event.target.value = ''
        }}
      />
      <IconButton type="button" size="3" variant="soft" color="gray" aria-label="Attach a file" loading={attached.busy} onClick={() => { input.current?.click() }}><FilePlusIcon /></IconButton>
    </div>
  )
}
