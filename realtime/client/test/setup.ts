/** Node 20 has no WebSocket of its own: browsers and later Nodes do. */
import { WebSocket } from 'ws'

if (typeof globalThis.WebSocket === 'undefined') Object.assign(globalThis, { WebSocket })
