import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['**/*.test.ts'],
    exclude: ['node_modules/**'],
    // The files share one project and one sidecar.
    fileParallelism: false,
    // The project that the environment names, or a stand-in.
    globalSetup: ['./standin/setup.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
