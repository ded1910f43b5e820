package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

// contentTypes are named here and not asked of the system, whose table differs between machines. A build with another kind of
// file is refused.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml", ".json": "application/json", ".png": "image/png", ".woff2": "font/woff2", ".txt": "text/plain; charset=utf-8",
	".wasm": "application/wasm",
}

// brotli is the ending of a file that is another one, squeezed when it was built: the detector, which is large.
const brotli = ".br"

// Caching, by what may change under the same name.
const (
	cacheNever   = "no-store"
	cacheForever = "public, max-age=31536000, immutable" // below assets/ a name holds a hash of the content
	cacheAsk     = "no-cache"
)

// file is one answer, kept whole: a build is about a megabyte.
type file struct {
	body     []byte
	kind     string
	cache    string
	etag     string
	squeezed func() []byte // gzip, made when first asked for; nil when it is no shorter
	brotli   []byte        // as it was built; nil when it was not
}

// site answers GET with files from memory. Not safe to change once it serves.
type site struct {
	files  map[string]*file
	index  string
	policy string
}

// errKind: the build holds a file whose content type is not known here.
var errKind = errors.New("add its kind to contentTypes in server/console/site.go")

func newSite(built fs.FS, index, policy string) (*site, error) {
	s := &site{files: map[string]*file{}, index: index, policy: policy}
	err := fs.WalkDir(built, "dist", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == ".gitkeep" {
			return err
		}
		whole := s.files[strings.TrimPrefix(strings.TrimSuffix(name, brotli), "dist/")] // a name comes before the longer one
		squeezed := strings.HasSuffix(name, brotli) && whole != nil
		if contentTypes[path.Ext(name)] == "" && !squeezed {
			return fmt.Errorf("%s: %w", name, errKind)
		}
		body, err := fs.ReadFile(built, name)
		if err != nil {
			return err
		}
		if squeezed {
			whole.brotli = body
			return nil
		}
		s.add(strings.TrimPrefix(name, "dist/"), body)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the built console: %w", err)
	}
	return s, nil
}

func (s *site) add(name string, body []byte) {
	sum := sha256.Sum256(body)
	const etagBytes = 12
	f := &file{body: body, kind: contentTypes[path.Ext(name)], cache: cacheAsk, etag: `"` + hex.EncodeToString(sum[:etagBytes]) + `"`}
	switch {
	case strings.HasPrefix(name, "assets/"):
		f.cache = cacheForever
	case name == s.index, name == "config.json":
		f.cache = cacheNever
	}
	f.squeezed = sync.OnceValue(func() []byte { return squeeze(f) })
	s.files[name] = f
}

func (s *site) hide(hidden func(name string) bool) {
	for name := range s.files {
		if hidden(name) {
			delete(s.files, name)
		}
	}
}

// ServeHTTP implements http.Handler.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.guard(w.Header())
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET is served here", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	if name == "" {
		name = s.index
	}
	f, ok := s.files[name]
	switch {
	case ok:
		s.send(w, r, f)
	case name == s.index:
		missing(w)
	default:
		w.Header().Set("Cache-Control", cacheNever)
		http.Error(w, "not found", http.StatusNotFound)
	}
}

// guard sets what every answer carries.
func (s *site) guard(h http.Header) {
	h.Set("Content-Security-Policy", s.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=(), browsing-topics=()")
}

func (s *site) send(w http.ResponseWriter, r *http.Request, f *file) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", f.cache)
	h.Set("Vary", "Accept-Encoding")
	if f.cache != cacheNever {
		h.Set("Etag", f.etag)
		if r.Header.Get("If-None-Match") == f.etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	body := f.body
	switch accepted := r.Header.Get("Accept-Encoding"); {
	case f.brotli != nil && strings.Contains(accepted, "br"):
		h.Set("Content-Encoding", "br")
		body = f.brotli
	case strings.Contains(accepted, "gzip"):
		if squeezed := f.squeezed(); squeezed != nil {
			h.Set("Content-Encoding", "gzip")
			body = squeezed
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // whoever asked has gone: nobody to tell
	}
}

// smallest is the size below which squeezing is not worth a header.
const smallest = 1 << 10

func squeeze(f *file) []byte {
	text := strings.HasPrefix(f.kind, "text/") || f.kind == contentTypes[".svg"] || f.kind == contentTypes[".json"] || f.kind == contentTypes[".wasm"]
	if !text || len(f.body) < smallest {
		return nil
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(f.body); err != nil {
		return nil
	}
	if err := z.Close(); err != nil || b.Len() >= len(f.body) {
		return nil
	}
	return b.Bytes()
}

const missingPage = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Vigil: not built</title></head>
<body><main><h1>The console is not built</h1>
<p>This program was built without its pages. In the repository run</p>
<pre>` + Task + `</pre>
<p>then build and start the program again. <code>go tool task dev</code> does both. The API and the channel work without it.</p>
</main></body></html>
`

// missing says what to run. 503: it may be there later, under the same address.
func missing(w http.ResponseWriter) {
	w.Header().Set("Content-Type", contentTypes[".html"])
	w.Header().Set("Cache-Control", cacheNever)
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write([]byte(missingPage))
}
