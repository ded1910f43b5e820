package storage

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/jackc/pgx/v5"
)

const (
	// maxNames is how many objects one call may remove.
	maxNames = 1000
	// maxListed is how many objects one call may list.
	maxListed = 10_000
	// maxBodyBytes bounds a request that is not an upload.
	maxBodyBytes = 1 << 20
)

func readJSON(r *http.Request, into any) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBodyBytes+1))
	if err != nil || len(body) > maxBodyBytes || json.Unmarshal(body, into) != nil {
		return invalidRequest("Body is not valid JSON")
	}
	return nil
}

// rowJSON is an object as Storage shows it.
const rowJSON = `jsonb_build_object('name', name, 'bucket_id', bucket_id, 'owner', coalesce(owner::text, ''), 'owner_id', owner_id,
	'version', version, 'id', id, 'updated_at', updated_at, 'created_at', created_at, 'last_accessed_at', last_accessed_at,
	'metadata', metadata, 'user_metadata', user_metadata)`

// remove deletes those of the named objects that the person may see and delete, and tells which they were: that others were
// left is no error, as on hosted.
func (s *Server) remove(r *http.Request, from route, who caller) (reply, error) {
	var asked struct {
		Prefixes []string `json:"prefixes"`
	}
	if err := readJSON(r, &asked); err != nil {
		return nil, err
	}
	if len(asked.Prefixes) == 0 || len(asked.Prefixes) > maxNames {
		return nil, invalidRequest("body/prefixes must NOT have fewer than 1 items or more than 1000")
	}
	rows := []json.RawMessage{}
	var versions []string
	if err := s.as(r.Context(), who, true, func(ctx context.Context, tx pgx.Tx) error {
		found, err := tx.Query(ctx, "delete from storage.objects where bucket_id = $1 and name = any($2) returning version, "+rowJSON,
			from.bucket, asked.Prefixes)
		if err != nil {
			return err
		}
		var version string
		var row []byte
		_, err = pgx.ForEachRow(found, []any{&version, &row}, func() error {
			versions, rows = append(versions, version), append(rows, append(json.RawMessage{}, row...))
			return nil
		})
		return err
	}); err != nil {
		return nil, err
	}
	var err error
	for _, version := range versions {
		err = errors.Join(err, s.files.drop(version))
	}
	return func(w http.ResponseWriter) { writeJSON(w, http.StatusOK, rows) }, err
}

// listed gives one level of names, folders first, as storage.search did before its second version.
const listed = `
with seen as (
  select *, path_tokens[$2] as word, array_length(path_tokens, 1) = $2 as leaf
    from storage.objects where bucket_id = $1 and starts_with(lower(name), lower($3))
), found as (
  select 0 as kind, word, jsonb_build_object('name', word, 'id', null, 'updated_at', null, 'created_at', null,
      'last_accessed_at', null, 'metadata', null) as row
    from seen where not leaf group by word
  union all
  select 1, word, jsonb_build_object('name', word, 'id', id, 'updated_at', updated_at, 'created_at', created_at,
      'last_accessed_at', last_accessed_at, 'metadata', metadata)
    from seen where leaf
)
select row from found order by kind, case when $6 then word end asc, case when not $6 then word end desc limit $4 offset $5`

// list names what the person may see under a prefix, one level deep.
func (s *Server) list(r *http.Request, in route, who caller) (reply, error) {
	asked := struct {
		Prefix string `json:"prefix"`
		Search string `json:"search"`
		Limit  int    `json:"limit"`
		Offset int    `json:"offset"`
		SortBy struct {
			Column string `json:"column"`
			Order  string `json:"order"`
		} `json:"sortBy"`
	}{Limit: 100}
	if err := readJSON(r, &asked); err != nil {
		return nil, err
	}
	if asked.SortBy.Column != "" && asked.SortBy.Column != "name" {
		return nil, notHere()
	}
	if asked.Limit < 1 || asked.Limit > maxListed || asked.Offset < 0 {
		return nil, invalidRequest("body/limit or body/offset is out of range")
	}
	if asked.Prefix != "" && !strings.HasSuffix(asked.Prefix, "/") {
		asked.Prefix += "/"
	}
	rows := []json.RawMessage{}
	if err := s.as(r.Context(), who, false, func(ctx context.Context, tx pgx.Tx) error {
		found, err := tx.Query(ctx, listed, in.bucket, strings.Count(asked.Prefix, "/")+1, asked.Prefix+asked.Search, asked.Limit, asked.Offset,
			asked.SortBy.Order != "desc")
		if err != nil {
			return err
		}
		var row []byte
		_, err = pgx.ForEachRow(found, []any{&row}, func() error {
			rows = append(rows, append(json.RawMessage{}, row...))
			return nil
		})
		return err
	}); err != nil {
		return nil, err
	}
	return func(w http.ResponseWriter) { writeJSON(w, http.StatusOK, rows) }, nil
}
