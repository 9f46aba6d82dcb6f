// Package realtime is the k6 module k6/x/realtime: crowds of realtime clients that are read in Go.
//
// k6's own k6/http gives nothing of a stream before it ends, and a JavaScript callback for every message of a WebSocket
// costs k6 some 50 µs: at 10,000 clients k6 would measure itself. Here a message costs a few µs, a client a few kB, and a
// script only opens a crowd, waits, and asks for the account:
//
//	import realtime from "k6/x/realtime";
//	const crowd = realtime.open({ url, count: 2500, topic: "load_events/*", tokens, run });
//	crowd.expectAfter({ "writer-1": 10 });
//	sleep(60);
//	crowd.settle({ "writer-1": 40 }, 10);
//	crowd.close();
//
// Every call blocks its VU, and nothing else.
package realtime

import (
	"errors"
	"fmt"
	"time"

	"github.com/grafana/sobek"
	"go.k6.io/k6/js/common"
	"go.k6.io/k6/js/modules"
)

func init() {
	modules.Register("k6/x/realtime", rootModule{})
}

type rootModule struct{}

func (rootModule) NewModuleInstance(vu modules.VU) modules.Instance {
	metrics, err := registerMetrics(vu.InitEnv().Registry)
	if err != nil {
		common.Throw(vu.Runtime(), err)
	}
	return &instance{vu, metrics}
}

// instance is the module as one VU sees it. Its exported methods are what scripts call.
type instance struct {
	vu      modules.VU
	metrics *ownMetrics
}

func (i *instance) Exports() modules.Exports {
	return modules.Exports{Default: i}
}

// Now is the time in milliseconds, with its fractions. A writer puts it into a record's field `sent`; rt_latency is the
// time from there to when a client has read the event.
func (i *instance) Now() float64 {
	return milliseconds(time.Now())
}

func milliseconds(t time.Time) float64 {
	return float64(t.UnixNano()) / 1e6
}

// Open opens a crowd, and is back when every client has subscribed or failed. A failure is counted as rt_errors, and the
// first one is logged.
func (i *instance) Open(given sobek.Value) (*Crowd, error) {
	state := i.vu.State()
	if state == nil {
		return nil, errors.New("clients cannot be opened while the script is being read")
	}
	options := Options{Protocol: "sse", Count: 1, Parallel: 16, Timeout: 60}
	if err := i.vu.Runtime().ExportTo(given, &options); err != nil {
		return nil, fmt.Errorf("options: %w", err)
	}
	return openCrowd(i.vu.Context(), state, i.metrics, options)
}
