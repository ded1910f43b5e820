// A client's side of a session, in Node 22 or in a browser. The environment says where the project and the sidecar are, and who.
import { createClient } from '@supabase/supabase-js'
import { vigil } from 'vigil-client'

const env = (name: string): string => process.env[name] ?? ''
const supabase = createClient(env('SUPABASE_URL'), env('SUPABASE_PUBLISHABLE_KEY'))
await supabase.auth.signInWithPassword({ email: env('VIGIL_EMAIL'), password: env('VIGIL_PASSWORD') })

const v = await vigil(supabase, env('VIGIL_URL')) // this browser's device, made once; Node keeps none, so there a second run is a second device, to be approved
const chat = await v.session(env('VIGIL_SESSION'))
const answered = new Promise<void>((resolve) => {
  chat.on('message', (m) => { // history, then live; verified, in order
    console.log(m.from.role, m.text, m.badge)
    if (m.from.role === 'therapist') resolve()
  })
})
await chat.active() // until everyone has a device and the therapist starts
await chat.consent.give({ text: 'My messages may be analysed, so that a clinician is told of a crisis.' })
await chat.send('I had a rough night') // sealed here; queued while offline
await answered
await v.close()
await supabase.auth.signOut({ scope: 'local' })
