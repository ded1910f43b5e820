package realtime

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// rejection is why a request is not served. errors names the messages of a batch that it is about.
type rejection struct {
	status int
	fault  fault
	errors []indexError
}

// The content types of what is posted.
const (
	typeJSON = "application/json"
	typeRaw  = "application/octet-stream"
)

var errContentType = fault{CodeContentType, "Send application/json, or application/octet-stream for the bytes of one event"}

// servePost takes client broadcasts that come by REST, and hands them on as those of a socket. All of them, or none.
func (s *Server) servePost(w http.ResponseWriter, r *http.Request, to target) {
	if no := s.post(w, r, to); no != nil {
		s.log.DebugContext(r.Context(), "broadcast by REST refused", logCode, string(no.fault.code), logCount, max(1, len(no.errors)))
		answer(w, no.status, refusalBody{Error: no.fault.text, Code: no.fault.code, Message: no.fault.text, Errors: no.errors})
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// post decides about everything before it sends anything: who asks comes before the body is read, and the rate before the
// database is asked.
func (s *Server) post(w http.ResponseWriter, r *http.Request, to target) *rejection {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return &rejection{status: http.StatusMethodNotAllowed, fault: fault{CodeMethodNotAllowed, "Broadcasts are posted"}}
	}
	id, no := s.poster(r)
	if no != nil {
		return no
	}
	if id.UserID == "" && !s.config.AllowPublic { // before a body is taken that nothing can come of
		return &rejection{status: http.StatusUnauthorized, fault: errNoBearer}
	}
	posts, no := s.readPosts(w, r, to)
	if no != nil {
		return no
	}
	payer := userKey(id.UserID)
	if id.UserID == "" {
		payer = addressKey(s.addressOf(r))
	}
	if !s.accounts.borrow(payer).broadcasts.AllowN(time.Now(), len(posts)) {
		return &rejection{status: http.StatusTooManyRequests, fault: errTooOften}
	}
	if no := s.maySendAll(r.Context(), id, posts, to.batch); no != nil {
		return no
	}
	for _, p := range posts {
		s.broadcast(p.key, nil, p.broadcast)
	}
	return nil
}

// poster says who posts: the person of the token in Authorization, or of the apikey where that is a token. Nobody, with the
// zero Identity, is whoever shows a key of the project alone.
func (s *Server) poster(r *http.Request) (Identity, *rejection) {
	unauthorized := func(f fault) (Identity, *rejection) {
		return Identity{}, &rejection{status: http.StatusUnauthorized, fault: f}
	}
	switch {
	case s.draining():
		return Identity{}, &rejection{status: http.StatusServiceUnavailable, fault: errRestarting}
	case !s.originAllowed(r):
		return Identity{}, &rejection{status: http.StatusForbidden, fault: errOrigin}
	}
	key, token := keyOf(r), bearerOf(r)
	if strings.HasPrefix(token, secretPrefix) || s.isKey(token) {
		token = ""
	}
	if token == "" && strings.Count(key, ".") == 2 && !s.isKey(key) {
		token = key
	}
	switch {
	case key == "" && token == "":
		return unauthorized(errKeyMissing)
	case key != "" && key != token && s.config.ValidKey != nil && !s.isKey(key):
		return unauthorized(errKeyInvalid)
	case token == "":
		return Identity{}, nil
	}
	var id Identity
	err := s.decide(r.Context(), time.Time{}, func(ctx context.Context) (err error) {
		id, err = s.config.Authenticate(ctx, token)
		return err
	})
	if err == nil {
		return id, nil
	}
	f := tokenFault(err)
	if f.code == CodeUnableToConnect {
		return Identity{}, &rejection{status: http.StatusServiceUnavailable, fault: f}
	}
	return unauthorized(f)
}

// isKey says whether text is one of the project's keys for connections, some of which look like tokens.
func (s *Server) isKey(text string) bool {
	return text != "" && s.config.ValidKey != nil && s.config.ValidKey(text)
}

func keyOf(r *http.Request) string {
	for _, header := range []string{"X-Api-Key", "Apikey"} {
		if key := r.Header.Get(header); key != "" {
			return key
		}
	}
	return r.URL.Query().Get("apikey")
}

func bearerOf(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// readPosts reads what is to be sent.
func (s *Server) readPosts(w http.ResponseWriter, r *http.Request, to target) ([]posting, *rejection) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	encoded := r.Header.Get("Content-Encoding") != ""
	if err != nil || encoded || kind != typeJSON && (to.batch || kind != typeRaw) {
		return nil, &rejection{status: http.StatusUnsupportedMediaType, fault: errContentType}
	}
	most := s.limits.FrameBytes
	if !to.batch {
		most = min(most, int64(s.limits.BroadcastBytes))
	}
	body, no := s.readBody(w, r, most)
	if no != nil {
		return nil, no
	}
	if to.batch {
		return readBatch(body, s.limits)
	}
	p, status, f := readEvent(to, r.URL.Query(), kind == typeRaw, body)
	if f != nil {
		return nil, &rejection{status: status, fault: *f}
	}
	return []posting{p}, nil
}

// readBody reads at most so many bytes, within Timing.Write.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, most int64) ([]byte, *rejection) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(s.timing.Write)) // where that cannot be set, the server around us has its own
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &rejection{status: http.StatusRequestEntityTooLarge, fault: errPayload}
	case err != nil:
		return nil, &rejection{status: http.StatusUnprocessableEntity, fault: fault{CodeInvalidPayload, "The body could not be read"}}
	}
	_ = control.SetReadDeadline(time.Time{}) // as above
	return body, nil
}

// askRights is how often the permissions of one request are read, if each time some were withdrawn meanwhile.
const askRights = 3

// maySendAll asks for everything that is posted. A revocation that is handled meanwhile has it asked again.
func (s *Server) maySendAll(ctx context.Context, id Identity, posts []posting, batch bool) *rejection {
	for range askRights {
		revoked := s.revoked.Load()
		no := s.askAll(ctx, id, posts, batch)
		if no != nil || s.revoked.Load() == revoked {
			return no
		}
	}
	return &rejection{status: http.StatusServiceUnavailable, fault: errUnread}
}

var errNoBearer = fault{CodeTokenMissing, "Show an access token: Authorization: Bearer"}

var errUnread = fault{CodeUnableToConnect, "The permissions could not be read, please try again"}

// postsAtOnce is how many rooms of one post are asked about at once: a fraction of Limits.AuthorizeAtOnce, which joins need, too.
const postsAtOnce = 8

// askAll asks once for each room, for some at once.
func (s *Server) askAll(ctx context.Context, id Identity, posts []posting, batch bool) *rejection {
	answers := map[roomKey]*rejection{}
	for _, p := range posts {
		answers[p.key] = new(rejection)
	}
	var g errgroup.Group
	g.SetLimit(postsAtOnce)
	for key, to := range answers {
		g.Go(func() error {
			*to = s.maySend(ctx, id, key)
			return nil
		})
	}
	_ = g.Wait() // none errs: what each found stands in answers
	var first *rejection
	for i, p := range posts {
		no := answers[p.key]
		if no.status == 0 {
			continue
		}
		if first == nil {
			first = &rejection{status: no.status, fault: no.fault}
		}
		if batch {
			first.errors = append(first.errors, indexError{i, no.fault.code, no.fault.text})
		}
	}
	return first
}

// maySend says why a person may not send to a room now; the zero rejection if they may.
func (s *Server) maySend(ctx context.Context, id Identity, key roomKey) rejection {
	switch {
	case !key.private && s.config.Durable != nil && s.config.Durable(key.topic):
		return rejection{status: http.StatusForbidden, fault: errPrivate}
	case !key.private && !s.config.AllowPublic:
		return rejection{status: http.StatusForbidden, fault: errPublic}
	case !key.private:
		return rejection{}
	case id.UserID == "":
		return rejection{status: http.StatusUnauthorized, fault: errNoBearer}
	}
	var grant Grant
	err := s.decide(ctx, time.Time{}, func(ctx context.Context) (err error) {
		grant, err = s.config.Authorize(ctx, id, key.topic)
		s.at("posted")
		return err
	})
	switch {
	case err != nil:
		s.log.WarnContext(ctx, "permissions could not be read", logTopic, key.topic, logError, err)
		return rejection{status: http.StatusServiceUnavailable, fault: errUnread}
	case !grant.BroadcastSend:
		return rejection{status: http.StatusForbidden, fault: errNoSending}
	}
	return rejection{}
}
