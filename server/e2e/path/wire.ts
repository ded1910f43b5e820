// A WebSocket that remembers all that goes over it, both ways, and can be cut.
import WebSocket from 'ws'

// Every frame, as text.
export const frames: string[] = []

export class Wire extends WebSocket {
  static readonly open = new Set<Wire>()

  constructor(address: string | URL, protocols?: string | string[]) {
    super(address, protocols)
    Wire.open.add(this)
    this.on('message', (data: Buffer | ArrayBuffer) => {
      keep(data)
    })
    this.on('close', () => {
      Wire.open.delete(this)
    })
  }

  override send(data: string | Buffer | ArrayBuffer): void {
    keep(data)
    super.send(data)
  }
}

function keep(data: string | Buffer | ArrayBuffer): void {
  if (data instanceof ArrayBuffer) frames.push(new TextDecoder().decode(data))
  else frames.push(data.toString())
}

// What ws leaves out of the browser's type, realtime-js does not use.
export function transport(wire: typeof Wire = Wire): typeof globalThis.WebSocket {
  return wire as unknown as typeof globalThis.WebSocket
}
