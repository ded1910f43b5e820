/** The module that the Worker of a recovery runs. */
import { serveArgon2 } from './argon2-serve.ts'

serveArgon2(globalThis)
