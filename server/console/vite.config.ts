import { fileURLToPath } from 'node:url'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

// `npm run dev` serves the pages; what they ask of the sidecar is passed on to one that runs (go tool task dev).
const sidecar = process.env['VIGIL_URL'] ?? 'http://127.0.0.1:8788'

export default defineConfig({
  base: './', // the sidecar serves the console below /console/, the demo's server its page at the top
  plugins: [react()],
  resolve: {
    alias: [ // the client's sources, by the names that its package gives them
      { find: /^vigil-client\/([\w-]+)/, replacement: at('../../realtime/client/src') + '/$1.ts' },
      { find: 'vigil-client', replacement: at('../../realtime/client/src/index.ts') },
    ],
    dedupe: ['@supabase/supabase-js', '@supabase/realtime-js', 'age-encryption', '@noble/hashes'], // the client's sources must not bring their own copies
  },
  worker: { format: 'es' },
  build: {
    target: 'es2023',
    assetsInlineLimit: 0, // data: URLs would need a wider policy
    modulePreload: { polyfill: false },
    rolldownOptions: { checks: { pluginTimings: false }, input: { index: at('index.html'), demo: at('demo.html') } },
  },
  server: {
    fs: { allow: [at('.'), at('../../realtime/client')] },
    proxy: {
      '/config.json': { target: sidecar, rewrite: () => '/console/config.json' },
      '/realtime/v1': { target: sidecar, ws: true, changeOrigin: true },
    },
  },
  test: {
    include: ['test/**/*.test.{ts,tsx}'],
    environment: 'node', // a file that renders asks for happy-dom in its first line
    restoreMocks: true,
  },
})
