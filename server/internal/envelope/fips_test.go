package envelope

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestEverythingWorksUnderFIPSOnly runs this package's other tests again with GODEBUG=fips140=only, under which the standard
// library panics or errs on whatever is not approved (X25519, cipher.NewGCM, …).
func TestEverythingWorksUnderFIPSOnly(t *testing.T) {
	t.Parallel()
	if strings.Contains(os.Getenv("GODEBUG"), "fips140=only") {
		t.Skip("already under fips140=only")
	}
	self, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^Test", "-test.v")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{
		"TestForgeriesAreRefused", "TestSignaturesOfBothEndsAreJudgedAlike", "TestTheRingGrantsOnlyUnderAConsent", // every seal and signature
		"TestAKeyFileIsRotated", "TestKeysOfTheEnvironmentAreReadOnly", // both key backends
	} {
		if !strings.Contains(string(out), "--- PASS: "+name+" (") {
			t.Errorf("%s did not run", name)
		}
	}
}
