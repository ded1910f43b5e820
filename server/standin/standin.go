// Package standin is the slice of hosted Supabase that a laptop without Docker lacks: the platform's own roles and
// tables (Platform), Auth and the REST API. It is for development and tests only.
package standin
