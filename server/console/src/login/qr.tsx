import { encode } from 'uqr'
import type { ReactNode } from 'react'

/** Draws a QR code here: the secret in it reaches no picture service, and the page's policy needs no data: images. */
export function QrCode(props: { readonly value: string; readonly label: string }): ReactNode {
  const { data, size } = encode(props.value, { ecc: 'M', border: 2 })
  const dark = data.flatMap((row, y) => row.map((on, x) => (on ? `M${x} ${y}h1v1h-1z` : '')))
  return (
    <svg className="qr" viewBox={`0 0 ${size} ${size}`} role="img" aria-label={props.label} shapeRendering="crispEdges">
      <path d={dark.join('')} />
    </svg>
  )
}
