package escalation_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"vigil/server/internal/escalation"
)

// TestSignaturesAreThoseOfTheSharedVectors holds this end of the signature to the file that holds the edge function's, too.
func TestSignaturesAreThoseOfTheSharedVectors(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../../functions/_shared/testdata/signatures.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name, Secret, ID, Body, Signature string
		Timestamp                         int64
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) < 3 {
		t.Fatalf("%d vectors", len(vectors))
	}
	for _, v := range vectors {
		s, err := escalation.NewSigner(v.Secret)
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		h := http.Header{}
		s.Sign(h, v.ID, time.Unix(v.Timestamp, 999), []byte(v.Body))
		if h.Get(escalation.HeaderSignature) != v.Signature || h.Get(escalation.HeaderID) != v.ID || h.Get(escalation.HeaderTimestamp) != strconv.FormatInt(v.Timestamp, 10) {
			t.Errorf("%s: %v, want %s", v.Name, h, v.Signature)
		}
	}
}

func TestSecretsThatCannotBeUsedAreRefusedUnshown(t *testing.T) {
	t.Parallel()
	for name, secret := range map[string]string{
		"none": "", "only separators": " , ", "short": "fifteen-letters", "short in base64": "whsec_" + base64.StdEncoding.EncodeToString([]byte("short")),
		"no base64": "whsec_canary!canary!canary", "a short one beside a long one": "long-enough-as-a-secret canary",
	} {
		s, err := escalation.NewSigner(secret)
		if err == nil || s != nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}
