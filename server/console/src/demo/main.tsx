import { createRoot } from 'react-dom/client'
import { Look } from '../ui/theme.tsx'
import { DemoApp } from './demo-app.tsx'

const root = document.getElementById('root')
if (root !== null) createRoot(root).render(<Look><DemoApp /></Look>)
