import { Theme } from '@radix-ui/themes'
import type { ReactNode } from 'react'
import { useAppearance } from '../app/appearance.ts'
import '@radix-ui/themes/tokens/base.css'
import '@radix-ui/themes/tokens/colors/teal.css'
import '@radix-ui/themes/tokens/colors/sage.css'
import '@radix-ui/themes/tokens/colors/gray.css'
import '@radix-ui/themes/tokens/colors/red.css'
import '@radix-ui/themes/tokens/colors/amber.css'
import '@radix-ui/themes/components.css'
import './base.css'

/** The look of every page. */
export function Look(props: { readonly children: ReactNode }): ReactNode {
  return (
    <Theme appearance={useAppearance()} accentColor="teal" grayColor="sage" radius="large" panelBackground="solid">
      {props.children}
    </Theme>
  )
}
