import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

// Apart from the other end-to-end tests, for these need a browser and kill the sidecar: go tool task browser:test.
export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  resolve: {
    alias: [
      { find: /^vigil-client\/([\w-]+)$/, replacement: fileURLToPath(new URL('../../../realtime/client/src/$1.ts', import.meta.url)) },
      { find: 'vigil-client', replacement: fileURLToPath(new URL('../../../realtime/client/src/index.ts', import.meta.url)) },
    ],
  },
  test: {
    include: ['*.test.ts'],
    fileParallelism: false,
    maxConcurrency: 40, // conformance.test.ts mostly waits
    isolate: false, // one process for all files: they share nothing that one of them leaves behind
    globalSetup: ['../standin/setup.ts', './setup.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
