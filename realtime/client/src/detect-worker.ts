/** The module that a Detector's Worker runs. */
import { serveDetector } from './detect-serve.ts'

serveDetector(globalThis)
