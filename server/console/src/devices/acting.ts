import { useState } from 'react'
import { problemOf, type Problem } from '../api/problem.ts'
import { useAnnouncer } from '../ui/live.tsx'

export interface Acting {
  readonly busy: boolean
  readonly problem: Problem | null
  /** Does it, and says that it is done, or what went wrong. */
  readonly act: <T>(attempt: string, work: () => Promise<T>, done: string | ((result: T) => string)) => Promise<boolean>
  readonly told: string | null
}

/** One thing at a time, with its outcome in sight and read out. */
export function useActing(): Acting {
  const { say } = useAnnouncer()
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<Problem | null>(null)
  const [told, setTold] = useState<string | null>(null)
  const act = async <T,>(attempt: string, work: () => Promise<T>, done: string | ((result: T) => string)): Promise<boolean> => {
    setBusy(true)
    setProblem(null)
    setTold(null)
    try {
      const result = await work()
      const words = typeof done === 'string' ? done : done(result)
      setTold(words)
      say(words)
      return true
    } catch (thrown) {
      setProblem(problemOf(thrown, attempt))
      return false
    } finally {
      setBusy(false)
    }
  }
  return { busy, problem, act, told }
}
