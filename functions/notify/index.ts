import { handler } from './handler.ts'

Deno.serve(handler({
  env: (name) => Deno.env.get(name),
  fetch,
  now: Date.now,
  // deno-lint-ignore no-console -- the edge's log is the console
  log: (line) => console.log(JSON.stringify(line)),
}))
