package realtime

import (
	"time"

	"go.k6.io/k6/metrics"
)

// ownMetrics are those that lib/crowd.js has too, under the same names: thresholds and summaries need not know who
// counted.
type ownMetrics struct {
	connections, events, lost, repeated, reordered, errors, latency *metrics.Metric
}

func registerMetrics(registry *metrics.Registry) (*ownMetrics, error) {
	m := &ownMetrics{}
	for name, metric := range map[string]**metrics.Metric{
		"rt_connections": &m.connections,
		"rt_events":      &m.events,
		"rt_lost":        &m.lost,
		"rt_repeated":    &m.repeated,
		"rt_reordered":   &m.reordered,
		"rt_errors":      &m.errors,
	} {
		var err error
		if *metric, err = registry.NewMetric(name, metrics.Counter); err != nil {
			return nil, err
		}
	}
	var err error
	m.latency, err = registry.NewMetric("rt_latency", metrics.Trend, metrics.Time)
	return m, err
}

// counts gathers what the clients of a crowd see, to be handed to k6 a few times a second: a sample of its own for every
// event of 10,000 clients would keep k6 busy.
type counts struct {
	connections, events, lost, repeated, reordered, errors int64
	latencies                                              []float64
}

// samples turns the counts into k6's form and begins anew.
func (c *counts) samples(m *ownMetrics, tags metrics.TagsAndMeta, now time.Time) metrics.Samples {
	var samples metrics.Samples
	add := func(metric *metrics.Metric, value float64) {
		samples = append(samples, metrics.Sample{
			TimeSeries: metrics.TimeSeries{Metric: metric, Tags: tags.Tags},
			Metadata:   tags.Metadata,
			Time:       now,
			Value:      value,
		})
	}
	for _, counter := range []struct {
		metric *metrics.Metric
		value  int64
	}{
		{m.connections, c.connections},
		{m.events, c.events},
		{m.lost, c.lost},
		{m.repeated, c.repeated},
		{m.reordered, c.reordered},
		{m.errors, c.errors},
	} {
		if counter.value != 0 {
			add(counter.metric, float64(counter.value))
		}
	}
	for _, latency := range c.latencies {
		add(m.latency, latency)
	}
	*c = counts{latencies: c.latencies[:0]}
	return samples
}
