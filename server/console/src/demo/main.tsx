import { createRoot } from 'react-dom/client'
import { Look } from '../ui/theme.tsx'

const root = document.getElementById('root')
if (root !== null) createRoot(root).render(<Look>demo</Look>)
