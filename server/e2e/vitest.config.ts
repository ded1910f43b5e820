import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  resolve: {
    alias: [
      { find: /^vigil-client\/([\w-]+)$/, replacement: fileURLToPath(new URL('../../realtime/client/src/$1.ts', import.meta.url)) },
      { find: 'vigil-client', replacement: fileURLToPath(new URL('../../realtime/client/src/index.ts', import.meta.url)) },
    ],
  },
  test: {
    include: ['**/*.test.ts'],
    exclude: ['node_modules/**', 'browser/**'], // the browser's have a config of their own, and a sidecar that they kill
    // The files share one project and one sidecar.
    fileParallelism: false,
    maxConcurrency: 40, // the behaviours of realtime/ mostly wait
    // The project that the environment names, or a stand-in; then the sidecar beside it.
    globalSetup: ['./standin/setup.ts', './path/setup.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
