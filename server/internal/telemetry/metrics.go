package telemetry

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// LatencyBuckets are seconds from 0.5 ms to 10 s: a commit reaches a socket in a few milliseconds when all is well.
var LatencyBuckets = []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10}

// Metrics is the sidecar's registry. No label holds an id.
type Metrics struct {
	registry *prometheus.Registry

	Requests       *prometheus.CounterVec   // by method, route pattern and status
	RequestSeconds *prometheus.HistogramVec // by route pattern
	StageSeconds   *prometheus.HistogramVec // commit to stage, by stage
	Assessments    *prometheus.CounterVec   // by status and reason code
	Alerts         *prometheus.CounterVec   // by level
	Continuity     *prometheus.CounterVec   // continuity not proven, by cause
	Admissions     *prometheus.CounterVec   // of devices, by outcome
	Grants         *prometheus.CounterVec   // of crisis access, by outcome
	Scores         *prometheus.CounterVec   // of strict messages, by side and outcome
	Pages          *prometheus.CounterVec   // attempts to page somebody, by outcome
	PageSeconds    prometheus.Histogram     // commit of a page to its first attempt

	Suggestions       *prometheus.CounterVec   // by outcome and source
	SuggestionSeconds *prometheus.HistogramVec // asked or assessed to offered, by source
	ModelCalls        *prometheus.CounterVec   // by outcome
}

// NewMetrics returns a registry with the process, Go and Vigil's own collectors.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry:       prometheus.NewRegistry(),
		Requests:       prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vigil_http_requests_total", Help: "HTTP requests by method, route and status."}, []string{"method", "route", "status"}),
		RequestSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "vigil_http_request_seconds", Help: "Time to answer an HTTP request.", Buckets: LatencyBuckets}, []string{"route"}),
		StageSeconds:   prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "vigil_message_stage_seconds", Help: "Time from a message's commit to a stage.", Buckets: LatencyBuckets}, []string{"stage"}),
		Assessments:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vigil_assessments_total", Help: "Assessments recorded, by status and reason code."}, []string{"status", "reason"}),
		Alerts:         prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vigil_alerts_total", Help: "Alerts recorded, by level."}, []string{"level"}),
		Continuity:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vigil_continuity_not_proven_total", Help: "Times the log could not be proven unbroken, by cause."}, []string{"cause"}),
		Admissions:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vigil_device_admissions_total", Help: "Signatures for devices that wait, by outcome: admitted, or why the signature admits nothing (format, signature)."}, []string{"outcome"}),
		Grants:         prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vigil_crisis_grants_total", Help: "Keys of epochs for devices of clinicians whom an alert paged, by outcome: given, or the reason why not."}, []string{"outcome"}),
		Scores:         prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vigil_scores_total", Help: "Scores of messages that only devices read, by side (sender, clinician) and outcome: recorded, or why one counts for nothing."}, []string{"side", "outcome"}),
		Pages:          prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vigil_pages_total", Help: "Attempts to page somebody, by outcome: sent, retried, refused (mend the set-up), failed (nobody was paged), answered (before it was sent)."}, []string{"outcome"}),
		PageSeconds:    prometheus.NewHistogram(prometheus.HistogramOpts{Name: "vigil_page_seconds", Help: "Time from the commit of an alert's page to its first attempt.", Buckets: LatencyBuckets}),

		Suggestions:       prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vigil_suggestions_total", Help: "Suggestions by outcome (offered, withdrawn, forgone, shed, failed, or why none was made) and source (bank, model)."}, []string{"outcome", "source"}),
		SuggestionSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "vigil_suggestion_seconds", Help: "Time from a request, or an assessment, to the suggestion offered, by source.", Buckets: LatencyBuckets}, []string{"source"}),
		ModelCalls:        prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vigil_model_calls_total", Help: "Calls to the model by outcome; paused and busy ones were not made."}, []string{"outcome"}),
	}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.Requests, m.RequestSeconds, m.StageSeconds, m.Assessments, m.Alerts, m.Continuity, m.Admissions, m.Grants, m.Scores, m.Pages, m.PageSeconds, m.Suggestions, m.SuggestionSeconds, m.ModelCalls)
	return m
}

// Gauge registers a gauge that read is asked for at each scrape. read must return at once and be safe for concurrent use.
func (m *Metrics) Gauge(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
}

// Counter registers a counter that read is asked for at each scrape, under the rules of Gauge.
func (m *Metrics) Counter(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, read))
}

// Observe records the time from a message's commit to stage.
func (m *Metrics) Observe(stage string, sinceCommit time.Duration) {
	m.StageSeconds.WithLabelValues(stage).Observe(sinceCommit.Seconds())
}

// Handler serves the registry in Prometheus' text form.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
