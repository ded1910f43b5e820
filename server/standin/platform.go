package standin

import "embed"

// Platform holds platform/*.sql: the roles, schemas, tables and functions that hosted Supabase has made before a
// project's first migration. Each file is run in order of name as the superuser supabase_admin, in a database of a
// cluster that was made with `initdb -U supabase_admin`, and may be run again. Postgres 15 and 17.
//
//go:embed platform/*.sql
var Platform embed.FS
