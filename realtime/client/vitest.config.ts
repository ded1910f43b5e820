import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  resolve: { alias: { 'vigil-client': fileURLToPath(new URL('src/index.ts', import.meta.url)) } },
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/setup.ts'],
    pool: 'threads',
    testTimeout: 20_000, // a test that waits for nothing takes a hundredth of it, on a machine that is not busy
    maxWorkers: 3, // more than a small machine has processors: most of the files' time is waiting for sockets and for Go
  },
})
