package envelope

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"
)

func newKeys(t testing.TB, n int) []*Device {
	t.Helper()
	keys := make([]*Device, n)
	for i := range keys {
		var err error
		keys[i], err = NewDevice(uuid.New())
		must(t, err)
	}
	return keys
}

func kids(keys []*Device) []uuid.UUID {
	ids := make([]uuid.UUID, 0, len(keys))
	for _, d := range keys {
		ids = append(ids, d.kid)
	}
	return ids
}

func checkKeyFile(t *testing.T, s FileSource, want ...*Device) {
	t.Helper()
	keys, err := s.Keys(t.Context())
	must(t, err)
	if !slices.Equal(kids(keys), kids(want)) {
		t.Errorf("the file holds %v instead of %v", kids(keys), kids(want))
	}
	info, err := os.Stat(s.Path)
	must(t, err)
	if info.Mode().Perm() != keyFileMode {
		t.Errorf("mode %v", info.Mode())
	}
	if _, err := os.Stat(s.Path + ".new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half a file was left behind: %v", err)
	}
}

func TestAKeyFileIsRotated(t *testing.T) {
	t.Parallel()
	s := FileSource{Path: filepath.Join(t.TempDir(), "key.json")}
	keys := newKeys(t, 3)
	must(t, s.Add(t.Context(), keys[0])) // makes the file
	checkKeyFile(t, s, keys[0])
	must(t, s.Add(t.Context(), keys[1]))
	must(t, s.Add(t.Context(), keys[2]))
	checkKeyFile(t, s, keys[2], keys[1], keys[0]) // the newest is the one for new rosters
	if err := s.Add(t.Context(), keys[1]); !errors.Is(err, fs.ErrExist) {
		t.Errorf("added twice: %v", err)
	}
	must(t, s.Remove(t.Context(), keys[1].kid))
	checkKeyFile(t, s, keys[2], keys[0])
	must(t, s.Remove(t.Context(), keys[1].kid)) // as after a crash between the database and the file
	checkKeyFile(t, s, keys[2], keys[0])
	must(t, s.Remove(t.Context(), keys[2].kid))
	if err := s.Remove(t.Context(), keys[0].kid); !errors.Is(err, ErrLastKey) {
		t.Errorf("the last key: %v", err)
	}
	checkKeyFile(t, s, keys[0])
}

func TestAKeyFileIsNeverChangedInTheDark(t *testing.T) {
	t.Parallel()
	keys := newKeys(t, 2)
	for name, c := range map[string]struct {
		spoil func(path string) error
		want  error
	}{
		"others may read it":      {func(path string) error { return os.Chmod(path, 0o640) }, ErrKeyFileMode},
		"it is something else":    {func(path string) error { return os.WriteFile(path, []byte("not keys"), 0o600) }, ErrFormat},
		"it is empty":             {func(path string) error { return os.Truncate(path, 0) }, ErrFormat},
		"another is changing it":  {func(path string) error { return os.WriteFile(path+".new", nil, 0o600) }, ErrKeyFileBusy},
		"its folder is not there": {func(path string) error { return os.RemoveAll(filepath.Dir(path)) }, fs.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "secrets", "key.json")
			must(t, os.Mkdir(filepath.Dir(path), 0o700))
			s := FileSource{Path: path}
			must(t, s.Add(t.Context(), keys[0]))
			must(t, c.spoil(path))
			before, _ := os.ReadFile(path)
			if err := s.Add(t.Context(), keys[1]); !errors.Is(err, c.want) {
				t.Errorf("add: %v", err)
			}
			if err := s.Remove(t.Context(), keys[0].kid); !errors.Is(err, c.want) {
				t.Errorf("remove: %v", err)
			}
			if after, _ := os.ReadFile(path); string(after) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
}

// TestNoKeyIsLostBetweenTwoWriters: many add at once; each added key is there in the end, whoever was busy when.
func TestNoKeyIsLostBetweenTwoWriters(t *testing.T) {
	t.Parallel()
	s := FileSource{Path: filepath.Join(t.TempDir(), "key.json")}
	keys := newKeys(t, 8)
	added := make([]bool, len(keys))
	var wg sync.WaitGroup
	for i, d := range keys {
		wg.Go(func() {
			switch err := s.Add(t.Context(), d); {
			case err == nil:
				added[i] = true
			case !errors.Is(err, ErrKeyFileBusy):
				t.Errorf("add: %v", err)
			}
		})
	}
	wg.Wait()
	found, err := s.Keys(t.Context())
	must(t, err)
	count := 0
	for i, d := range keys {
		if added[i] {
			count++
		}
		if slices.Contains(kids(found), d.kid) != added[i] {
			t.Errorf("key %d: added %t, and in the file %t", i, added[i], !added[i])
		}
	}
	if count == 0 {
		t.Error("nobody could add a key")
	}
}

func TestALinkedKeyFileStaysLinked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keys := newKeys(t, 2)
	target, link := filepath.Join(dir, "keys.json"), filepath.Join(dir, "link.json")
	must(t, FileSource{Path: target}.Add(t.Context(), keys[0]))
	must(t, os.Symlink(target, link))
	must(t, FileSource{Path: link}.Add(t.Context(), keys[1]))
	checkKeyFile(t, FileSource{Path: target}, keys[1], keys[0])
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is a link no more: %v", err)
	}
}

func TestKeysOfTheEnvironmentAreReadOnly(t *testing.T) {
	t.Parallel()
	d := newKeys(t, 1)[0]
	s := TextSource{Text: string(mustDevice(t, d))}
	if err := s.Add(t.Context(), d); !errors.Is(err, ErrReadOnly) {
		t.Errorf("add: %v", err)
	}
	if err := s.Remove(t.Context(), d.kid); !errors.Is(err, ErrReadOnly) {
		t.Errorf("remove: %v", err)
	}
	keys, err := s.Keys(t.Context())
	if err != nil || len(keys) != 1 || s.Text != string(mustDevice(t, d)) {
		t.Errorf("%v, %d keys", err, len(keys))
	}
}

func TestAddedKeysComeFirstAndTheOthersStay(t *testing.T) {
	t.Parallel()
	keys := newKeys(t, 3)
	ring := NewRing(RingConfig{}, keys[0], keys[1])
	ring.AddKeys(keys[2], keys[1]) // as a file that lacks the first
	var got []uuid.UUID
	for _, m := range ring.Members() {
		got = append(got, m.KID)
	}
	if want := kids([]*Device{keys[2], keys[1], keys[0]}); !slices.Equal(got, want) {
		t.Errorf("the ring holds %v instead of %v", got, want)
	}
	for _, d := range keys {
		if ring.keys[d.kid] != d {
			t.Errorf("key %s cannot be used", d.kid)
		}
	}
}

func TestADroppedKeyTakesItsEpochsWithIt(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	newer := newKeys(t, 1)[0]
	f.roster = Roster{f.roster[0], f.roster[1], newer.Member(RoleAnalysis)}
	f.makeEpoch(f.client, f.session, 3, f.consent.ID)
	ring := NewRing(RingConfig{}, newer, f.analysis)
	open := func(i int) (*Epoch, error) {
		return ring.Epoch(t.Context(), f.rows[i].Session, f.rows[i].Epoch, func(context.Context) (EpochRow, *ConsentRow, error) {
			consent := f.consent
			if f.rows[i].Session == f.other {
				consent = f.otherConsent
			}
			return f.rows[i], &consent, nil
		})
	}
	var epochs []*Epoch
	for i := range f.rows {
		e, err := open(i)
		must(t, err)
		epochs = append(epochs, e)
	}
	message := f.bundle.Messages[0].row()
	_, err := epochs[0].Open(message)
	must(t, err)
	ring.Drop(f.analysis.kid)
	if ring.Len() != 1 || len(ring.Members()) != 1 || ring.Members()[0].KID != newer.kid {
		t.Errorf("%d epochs and the keys %v stayed", ring.Len(), ring.Members())
	}
	for i, e := range epochs[:3] {
		if e.key != [KeyBytes]byte{} {
			t.Errorf("the key of epoch %d is still there", i)
		}
		if _, err := e.Wrap(f.onCallMember(t)); !errors.Is(err, ErrKey) {
			t.Errorf("epoch %d wraps: %v", i, err)
		}
		if _, err := open(i); !errors.Is(err, ErrKey) {
			t.Errorf("epoch %d opens again: %v", i, err)
		}
	}
	if _, err := epochs[0].Open(message); !errors.Is(err, ErrKey) {
		t.Errorf("a message of a dropped epoch: %v", err)
	}
	if _, err := open(3); err != nil {
		t.Errorf("the other key's epoch: %v", err)
	}
	if _, err := epochs[3].Wrap(f.onCallMember(t)); err != nil {
		t.Errorf("the other key's epoch wraps: %v", err)
	}
}

// TestAKeyDroppedWhileItOpensOpensNothing: who was reading the rows when the key went reads them again, and finds no key.
func TestAKeyDroppedWhileItOpensOpensNothing(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	ring := NewRing(RingConfig{}, f.analysis)
	reads := 0
	_, err := ring.Epoch(t.Context(), f.session, 1, func(context.Context) (EpochRow, *ConsentRow, error) {
		if reads++; reads == 1 {
			ring.Drop(f.analysis.kid)
		}
		return f.rows[0], &f.consent, nil
	})
	if !errors.Is(err, ErrKey) || reads != 2 || ring.Len() != 0 {
		t.Errorf("%v after %d reads; %d epochs are kept", err, reads, ring.Len())
	}
}

func (f *forge) onCallMember(t testing.TB) Member {
	t.Helper()
	return f.outsider.Member(RoleOnCall)
}

func TestTheRingGrantsOnlyUnderAConsent(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	ring := NewRing(RingConfig{}, newKeys(t, 1)[0], f.analysis)
	e, to, alert := f.epochs[0], f.outsider.Member(RoleClient), uuid.New() // whatever role the caller thinks
	withdrawn, another := f.consent, f.consents(f.client, f.other, ScopeCrisisAccess)
	withdrawn.Withdrawn = true
	widened := f.consents(f.client, f.session, ScopeAnalysis)
	widened.Scope = append(widened.Scope, ScopeCrisisAccess)
	for name, consents := range map[string][]ConsentRow{
		"none":                    nil,
		"withdrawn":               {withdrawn},
		"of another session":      {another},
		"to analysis alone":       {f.consents(f.client, f.session, ScopeAnalysis)},
		"widened by the database": {widened},
		"by the therapist":        {f.consents(f.therapist, f.session, ScopeCrisisAccess)},
		"by nobody on the roster": {f.consents(f.outsider, f.session, ScopeCrisisAccess)},
	} {
		if _, err := ring.Grant(e, to, alert, consents...); !errors.Is(err, ErrConsent) {
			t.Errorf("a consent that is %s: %v", name, err)
		}
	}
	if _, err := ring.Grant(e, to, uuid.Nil, f.consent); !errors.Is(err, ErrFormat) {
		t.Errorf("without an alert: %v", err)
	}
	g, err := ring.Grant(e, to, alert, withdrawn, f.consent)
	must(t, err)
	if err := g.Verify(f.analysis.SigPub()); err != nil || g.Role != RoleOnCall || g.Device != f.outsider.kid || g.By != f.analysis.kid {
		t.Errorf("%v: %+v", err, g)
	}
	row := f.rows[0]
	row.Wraps = map[uuid.UUID]string{f.outsider.kid: g.Wrap}
	opened, err := OpenEpoch(row, &f.consent, f.outsider)
	must(t, err)
	if _, err := opened.Open(f.bundle.Messages[0].row()); err != nil {
		t.Errorf("the paged clinician: %v", err)
	}
	// The wrong epoch's wrap, signed well: the commitment gives it away.
	moved, err := SignGrant(f.analysis, f.moved(t), to, uuid.Nil)
	must(t, err)
	row.Wraps[f.outsider.kid] = moved.Wrap
	if _, err := OpenEpoch(row, &f.consent, f.outsider); !errors.Is(err, ErrCommitment) {
		t.Errorf("a wrap of another key: %v", err)
	}
	ring.Drop(f.analysis.kid)
	if _, err := ring.Grant(e, to, alert, f.consent); !errors.Is(err, ErrKey) {
		t.Errorf("without the key: %v", err)
	}
}

// moved is the first epoch with the key of the second.
func (f *forge) moved(t testing.TB) *Epoch {
	t.Helper()
	e := f.epochs[0].clone()
	e.key = f.epochs[1].key
	return e
}
