package learn

import (
	"math"
	"slices"
	"strings"

	"vigil/server/internal/assess"
)

// quantile returns the value below which a share of values lies. It sorts them.
func quantile(values []float32, share float64) float32 {
	slices.Sort(values)
	return values[min(int(share*float64(len(values))), len(values)-1)]
}

// observed is what a model says of a text that it was not trained on.
type observed struct {
	*example
	logits assess.Logits
}

func observe(m *assess.Model, all []example) []observed {
	d := assess.NewWith(m)
	var out []observed
	for i := range all {
		if all[i].held && all[i].tune && len(all[i].segments) > 0 && !spared(&all[i]) {
			out = append(out, observed{&all[i], d.LogitsOf(all[i].text)})
		}
	}
	return out
}

// spared are texts of the largest sources that calibration does without, for time.
func spared(e *example) bool {
	switch e.source {
	case "dailydialog++":
		return e.text[len(e.text)/2]%4 != 0
	case "goemotions-train":
		return e.text[len(e.text)/2]%2 != 0
	}
	return false
}

// family is the kind of talk that a source is, for balance: each weighs as much as another, within its class.
func family(source string) string {
	switch {
	case strings.HasPrefix(source, "corpus/"):
		return "corpus"
	case strings.HasPrefix(source, "templ-"):
		return "templates"
	case source == "suicidewatch-sample", source == "cssrs500-posts", source == "llm-cssrs-dev", source == "traps-dev":
		return "clinical"
	}
	return source
}

// shares of a class's weight that each family has.
var shares = map[string]float64{"corpus": 4, "clinical": 2, "templates": .5, "davidson": .5}

// mayFit says whether the numbers that ship may be fitted to a source: those of tier A and our own. The others set thresholds only.
func mayFit(source string) bool {
	switch source {
	case "dailydialog++", "esconv-dev", "suicidewatch-sample":
		return false
	}
	return true
}

// calibrate sets a head's Whole, Best and Shift so that its probability is right where half of the texts say yes.
func calibrate(p *assess.HeadParams, h int, rows []observed) {
	type key struct {
		family string
		label  int8
	}
	counts := map[key]float64{}
	totals := [2]float64{}
	for i := range rows {
		if label := rows[i].labels[h]; label != unknown && mayFit(rows[i].source) {
			k := key{family(rows[i].source), label}
			if counts[k] == 0 {
				totals[label] += share(k.family)
			}
			counts[k]++
		}
	}
	if totals[0] == 0 || totals[1] == 0 {
		return
	}
	weight := func(r *observed) float64 {
		k := key{family(r.source), r.labels[h]}
		return share(k.family) / counts[k] / totals[r.labels[h]] / 2
	}
	a, b, c := .5, .5, 0.0
	for range 60 {
		var g [3]float64
		var hess [3][3]float64
		for i := range rows {
			r := &rows[i]
			if r.labels[h] == unknown || !mayFit(r.source) {
				continue
			}
			x := [3]float64{float64(r.logits.Whole[h]), float64(r.logits.Best[h]), 1}
			q := float64(assess.Expit(float32(float64(a*x[0]) + float64(b*x[1]) + c)))
			w := weight(r)
			e, v := float64(w*(q-float64(r.labels[h]))), float64(w*q*(1-q))
			for j := range 3 {
				g[j] += float64(e * x[j])
				for k := range 3 {
					hess[j][k] += float64(float64(v*x[j]) * x[k])
				}
			}
		}
		step := solve(hess, g)
		a, b, c = max(0, a-float64(.5*step[0])), max(0, b-float64(.5*step[1])), c-float64(.5*step[2])
	}
	p.Whole, p.Best, p.Shift = float32(a), float32(b), float32(c)
}

func share(family string) float64 {
	if s, ok := shares[family]; ok {
		return s
	}
	return 1
}

// rates are the shares of ordinary talk, of any source, at which a head may count as said.
var rates = [heads]float64{
	assess.HeadRisk: .03, assess.HeadLevel1: .024, assess.HeadLevel2: .013, assess.HeadLevel3: .006, assess.HeadLevel4: .0025,
	assess.HeadLevel5: .002, assess.HeadLevel6: .002, assess.HeadHarm: .005, assess.HeadAbuse: .012, assess.HeadDistress: .006,
}

// closerRates are the same for looking closer.
var closerRates = [heads]float64{assess.HeadRisk: .030, assess.HeadLevel4: .018}

// leastSaid is under what probability nothing counts as said, however quiet ordinary talk is.
const leastSaid = .35

// leastTalk is how many texts a source has whose quantiles mean anything. (Corpus alone: none; a half is as good.)
const leastTalk = 500

// threshold sets Said and Closer by ordinary talk: small talk, support chats, forum remarks. Each source is held to the
// rate by itself, the loudest decides.
func threshold(p *assess.HeadParams, h int, rows []observed) {
	by := map[string][]float32{}
	for i := range rows {
		r := &rows[i]
		switch r.source {
		case "dailydialog++", "esconv-dev", "goemotions-train", "counselchat-q":
			q := assess.Expit(float32(float32(p.Whole*r.logits.Whole[h])+float32(p.Best*r.logits.Best[h])) + p.Shift)
			by[r.source] = append(by[r.source], q)
		}
	}
	p.Said, p.Closer = leastSaid, 1
	closer := float32(0)
	for _, values := range by {
		if len(values) < leastTalk {
			continue
		}
		p.Said = max(p.Said, quantile(values, 1-rates[h]))
		closer = max(closer, quantile(values, 1-closerRates[h]))
	}
	if closerRates[h] > 0 {
		p.Closer = max(closer, .05)
	}
	p.Said = min(p.Said, .9999)
	if math.IsNaN(float64(p.Said)) {
		p.Said = .5
	}
}

// solve returns x with (m + a little)·x = v.
func solve(m [3][3]float64, v [3]float64) (x [3]float64) {
	for i := range 3 {
		m[i][i] += 1e-4
	}
	for i := range 3 {
		for j := i + 1; j < 3; j++ {
			f := m[j][i] / m[i][i]
			for k := i; k < 3; k++ {
				m[j][k] -= float64(f * m[i][k])
			}
			v[j] -= float64(f * v[i])
		}
	}
	for i := 2; i >= 0; i-- {
		x[i] = v[i]
		for k := i + 1; k < 3; k++ {
			x[i] -= float64(m[i][k] * x[k])
		}
		x[i] /= m[i][i]
	}
	return x
}
