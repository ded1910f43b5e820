package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// validKey is what Storage takes for a name. Source: supabase/storage, src/storage/limits.ts.
var validKey = regexp.MustCompile(`^(\w|/|!|-|\.|\*|'|\(|\)| |&|\$|@|=|;|:|\+|,|\?)*$`)

// bucket is what an upload must keep to.
type bucket struct {
	most  int64
	types []string
}

func (s *Server) bucket(ctx context.Context, id string) (b bucket, err error) {
	err = s.as(ctx, service, false, func(ctx context.Context, tx pgx.Tx) error {
		var most *int64
		err := tx.QueryRow(ctx, "select file_size_limit, coalesce(allowed_mime_types, '{}') from storage.buckets where id = $1", id).Scan(&most, &b.types)
		if errors.Is(err, pgx.ErrNoRows) {
			return noSuchBucket()
		}
		b.most = MaxObjectBytes
		if most != nil {
			b.most = min(b.most, *most)
		}
		return err
	})
	return b, err
}

// incoming is an upload's bytes and what is said of them.
type incoming struct {
	from         io.Reader
	media, cache string
}

// read takes an upload as storage-js sends it: a form with one file for a Blob, the bytes themselves for all else.
func read(r *http.Request) (incoming, error) {
	header := r.Header.Get("Content-Type")
	if kind, _, _ := mime.ParseMediaType(header); kind != "multipart/form-data" {
		in := incoming{from: r.Body, media: header, cache: r.Header.Get("Cache-Control")}
		if in.media == "" {
			in.media = "application/octet-stream"
		}
		return in, nil
	}
	form, err := r.MultipartReader()
	if err != nil {
		return incoming{}, invalidRequest("No content provided")
	}
	in := incoming{cache: "no-cache"}
	for {
		part, err := form.NextPart()
		if err != nil {
			return incoming{}, invalidRequest("No content provided")
		}
		if part.FileName() != "" {
			in.from, in.media = part, part.Header.Get("Content-Type")
			return in, nil
		}
		if part.FormName() == "cacheControl" {
			seconds, err := io.ReadAll(io.LimitReader(part, 32))
			if err != nil {
				return incoming{}, invalidRequest("No content provided")
			}
			in.cache = "max-age=" + string(seconds)
		}
	}
}

const (
	insertObject = `insert into storage.objects (bucket_id, name, owner, owner_id, version, metadata)
		values ($1, $2, nullif($3, '')::uuid, nullif($3, ''), $4, $5)`
	replaceObject = insertObject + ` on conflict (bucket_id, name) do update set version = excluded.version,
		metadata = excluded.metadata, owner = excluded.owner, owner_id = excluded.owner_id, updated_at = now()`
)

// upload keeps an object. The person's own insert is tried, and taken back, before a byte is read; Storage's own makes the row.
func (s *Server) upload(r *http.Request, to route, who caller) (reply, error) {
	ctx := r.Context()
	if !validKey.MatchString(to.name) {
		return nil, invalidKey(to.name)
	}
	limits, err := s.bucket(ctx, to.bucket)
	if err != nil {
		return nil, err
	}
	statement := insertObject
	if r.Header.Get("X-Upsert") == "true" {
		statement = replaceObject
	}
	version := uuid.NewString()
	if err := s.as(ctx, who, false, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, statement, to.bucket, to.name, who.subject, version, "{}")
		return err
	}); err != nil {
		return nil, err
	}
	in, err := read(r)
	if err != nil {
		return nil, err
	}
	if media, _, _ := strings.Cut(in.media, ";"); len(limits.types) > 0 && !slices.Contains(limits.types, strings.TrimSpace(media)) {
		return nil, invalidType(in.media)
	}
	size, err := s.files.keep(version, in.from, limits.most)
	if err != nil {
		return nil, err
	}
	id, err := s.record(ctx, statement, to, who, version, in, size)
	if err != nil {
		return nil, errors.Join(err, s.files.drop(version))
	}
	return func(w http.ResponseWriter) {
		writeJSON(w, http.StatusOK, map[string]string{"Id": id, "Key": to.bucket + "/" + to.name})
	}, nil
}

// record makes an object's row, and drops the bytes that it replaces.
func (s *Server) record(ctx context.Context, statement string, to route, who caller, version string, in incoming, size int64) (id string, err error) {
	metadata, err := json.Marshal(map[string]any{
		"size": size, "contentLength": size, "mimetype": in.media, "cacheControl": in.cache, "eTag": `"` + version + `"`,
		"lastModified": s.config.Now().UTC().Format(time.RFC3339), "httpStatusCode": http.StatusOK,
	})
	if err != nil {
		return "", fmt.Errorf("storage: write metadata: %w", err)
	}
	var replaced string
	err = s.as(ctx, service, true, func(ctx context.Context, tx pgx.Tx) error {
		err := tx.QueryRow(ctx, "select version from storage.objects where bucket_id = $1 and name = $2 for update", to.bucket, to.name).Scan(&replaced)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		return tx.QueryRow(ctx, statement+" returning id::text", to.bucket, to.name, who.subject, version, string(metadata)).Scan(&id)
	})
	if err == nil && replaced != "" {
		err = s.files.drop(replaced)
	}
	return id, err
}

// download gives an object that the person's token may select.
func (s *Server) download(r *http.Request, from route, who caller) (reply, error) {
	if _, err := s.bucket(r.Context(), from.bucket); err != nil {
		return nil, err
	}
	var version string
	var metadata struct {
		Media string `json:"mimetype"`
		Cache string `json:"cacheControl"`
	}
	var changed time.Time
	if err := s.as(r.Context(), who, false, func(ctx context.Context, tx pgx.Tx) error {
		err := tx.QueryRow(ctx, "select version, metadata, updated_at from storage.objects where bucket_id = $1 and name = $2",
			from.bucket, from.name).Scan(&version, &metadata, &changed)
		if errors.Is(err, pgx.ErrNoRows) {
			return noSuchKey()
		}
		return err
	}); err != nil {
		return nil, err
	}
	file, err := s.files.open(version)
	if err != nil {
		return nil, err
	}
	return func(w http.ResponseWriter) {
		defer func() { _ = file.Close() }() // it was only read
		w.Header().Set("Content-Type", metadata.Media)
		w.Header().Set("Cache-Control", metadata.Cache)
		w.Header().Set("Etag", `"`+version+`"`)
		http.ServeContent(w, r, "", changed, file)
	}, nil
}
