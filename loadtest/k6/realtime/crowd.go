package realtime

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"go.k6.io/k6/lib"
	"go.k6.io/k6/metrics"
)

// Options are what a script says when it opens a crowd.
type Options struct {
	// Of the server, such as http://127.0.0.1:8090.
	URL string `js:"url"`
	// "sse" or "websocket".
	Protocol string `js:"protocol"`
	// How many clients.
	Count int    `js:"count"`
	Topic string `js:"topic"`
	// Taken in turn; none for guests.
	Tokens []string `js:"tokens"`
	// Events whose record has another `run` are not ours and not looked at.
	Run string `js:"run"`
	// How many are being opened at a time.
	Parallel int `js:"parallel"`
	// Seconds that one may take to open.
	Timeout float64 `js:"timeout"`

	url *url.URL
}

// transport is an open and subscribed stream, whatever its protocol.
type transport interface {
	// next blocks until something comes.
	next() (message, error)
	// close ends next as well, and may be called at any time and more than once.
	close()
}

// message is an event, or something else that the server says, with a position where it does not stand in the data.
type message struct {
	position string
	data     []byte
}

// dialer connects to the server of an address, with TLS if that says so.
type dialer func(context.Context, *url.URL) (net.Conn, error)

// Crowd is a number of clients that listen to the same topic. Its exported methods are what scripts call.
type Crowd struct {
	ctx     context.Context
	run     string
	metrics *ownMetrics
	tags    metrics.TagsAndMeta
	samples chan<- metrics.SampleContainer
	logger  interface{ Warnf(string, ...any) }

	clients []*client
	// What every writer had done when all clients had subscribed.
	after map[string]int64
	// One for every client, and one that hands the counts to k6.
	running sync.WaitGroup
	closing chan struct{}
	closed  sync.Once

	mutex   sync.Mutex
	pending counts
	faulty  sync.Once
}

// client is one of them.
type client struct {
	stream transport
	mutex  sync.Mutex
	ledger ledger
}

func openCrowd(ctx context.Context, state *lib.State, own *ownMetrics, options Options) (*Crowd, error) {
	var err error
	if options.url, err = url.Parse(strings.TrimSuffix(options.URL, "/")); err != nil {
		return nil, err
	}
	if scheme := options.url.Scheme; scheme != "http" && scheme != "https" {
		return nil, fmt.Errorf("url: %q is neither http nor https", options.URL)
	}
	if options.Protocol != "sse" && options.Protocol != "websocket" {
		return nil, fmt.Errorf("protocol: %q is neither sse nor websocket", options.Protocol)
	}
	crowd := &Crowd{
		ctx:     ctx,
		run:     options.Run,
		metrics: own,
		tags:    state.Tags.GetCurrentValues(),
		samples: state.Samples,
		logger:  state.Logger,
		closing: make(chan struct{}),
	}
	crowd.running.Add(1)
	go crowd.report()
	crowd.open(state, &options)
	return crowd, nil
}

// open opens the clients, some at a time.
func (c *Crowd) open(state *lib.State, options *Options) {
	dial := dialWith(state)
	// All POSTs of a crowd share a few connections. They come from the address of their streams, as the server demands:
	// with --local-ips k6 gives each VU one.
	posts := &http.Client{Transport: &http.Transport{
		DialContext:         state.Dialer.DialContext,
		TLSClientConfig:     state.TLSConfig,
		MaxIdleConnsPerHost: options.Parallel,
	}}
	defer posts.CloseIdleConnections()

	var failed int
	var first error
	var opening sync.WaitGroup
	places := make(chan struct{}, max(1, options.Parallel))
	for i := range options.Count {
		token := ""
		if len(options.Tokens) > 0 {
			token = options.Tokens[i%len(options.Tokens)]
		}
		places <- struct{}{}
		opening.Go(func() {
			defer func() { <-places }()
			ctx, cancel := context.WithTimeout(c.ctx, time.Duration(options.Timeout*float64(time.Second)))
			defer cancel()
			var stream transport
			var err error
			if options.Protocol == "sse" {
				stream, err = openSSE(ctx, dial, posts, options, token)
			} else {
				stream, err = openSocket(ctx, dial, options, token)
			}
			c.mutex.Lock()
			defer c.mutex.Unlock()
			if err != nil {
				c.pending.errors++
				failed++
				if first == nil {
					first = err
				}
				return
			}
			if c.isClosing() {
				stream.close()
				return
			}
			c.pending.connections++
			one := &client{stream: stream}
			c.clients = append(c.clients, one)
			c.running.Add(1)
			go c.listen(one)
		})
	}
	opening.Wait()
	if first != nil && c.ctx.Err() == nil {
		c.logger.Warnf("%d of %d clients could not be opened: %v", failed, options.Count, first)
	}
}

// dialWith connects by k6's own dialer: it obeys --local-ips and hosts, and counts bytes.
func dialWith(state *lib.State) dialer {
	return func(ctx context.Context, target *url.URL) (net.Conn, error) {
		port := target.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443"}[target.Scheme]
		}
		conn, err := state.Dialer.DialContext(ctx, "tcp", net.JoinHostPort(target.Hostname(), port))
		if err != nil || target.Scheme == "http" {
			return conn, err
		}
		config := state.TLSConfig.Clone()
		if config.ServerName == "" {
			config.ServerName = target.Hostname()
		}
		// A stream is HTTP/1.1 here.
		config.NextProtos = []string{"http/1.1"}
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, err
		}
		return secure, nil
	}
}

// listen reads what comes for a client, to its end.
func (c *Crowd) listen(one *client) {
	defer c.running.Done()
	defer one.stream.close()
	for {
		message, err := one.stream.next()
		if err != nil {
			// Unless it was we who closed it.
			if !c.isClosing() {
				c.fault("a stream ended: %v", err)
			}
			return
		}
		c.enter(one, message)
	}
}

func (c *Crowd) enter(one *client, message message) {
	now := milliseconds(time.Now())
	var event struct {
		Type   string
		Seq    string
		Record *struct {
			Run, Writer string
			N           int64
			Sent        float64
		}
	}
	if err := json.Unmarshal(message.data, &event); err != nil || event.Type == "error" {
		c.fault("an unexpected message: %s", message.data)
		return
	}
	if event.Record == nil || event.Record.Run != c.run {
		return
	}
	if event.Seq == "" {
		event.Seq = message.position
	}
	one.mutex.Lock()
	verdict := one.ledger.see(event.Record.Writer, event.Record.N, event.Seq)
	one.mutex.Unlock()
	c.count(func(counts *counts) {
		counts.events++
		counts.latencies = append(counts.latencies, now-event.Record.Sent)
		switch verdict {
		case repeated:
			counts.repeated++
		case reordered:
			counts.reordered++
		}
	})
}

// fault counts an error. The first one of a crowd is logged: when a server goes, all its clients say the same.
func (c *Crowd) fault(format string, argument any) {
	c.count(func(counts *counts) { counts.errors++ })
	c.faulty.Do(func() { c.logger.Warnf(format, argument) })
}

func (c *Crowd) isClosing() bool {
	select {
	case <-c.closing:
		return true
	default:
		return false
	}
}

func (c *Crowd) count(change func(*counts)) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	change(&c.pending)
}

// report hands k6 what was counted, until the crowd is closed.
func (c *Crowd) report() {
	defer c.running.Done()
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			c.flush()
		case <-c.ctx.Done():
			// The test is stopped while the script waits. Close waits for this goroutine too.
			go c.Close()
			return
		case <-c.closing:
			return
		}
	}
}

func (c *Crowd) flush() {
	c.mutex.Lock()
	samples := c.pending.samples(c.metrics, c.tags, time.Now())
	c.mutex.Unlock()
	if len(samples) > 0 {
		metrics.PushIfNotDone(c.ctx, c.samples, samples)
	}
}

// ExpectAfter says what every writer had done when all clients had subscribed: what came before they need not have.
func (c *Crowd) ExpectAfter(counters map[string]int64) {
	c.after = counters
}

// Settle waits until every client has all that the writers have done, at most so many seconds, and counts what is
// missing then as rt_lost. Clients that were cut off miss all that came later.
func (c *Crowd) Settle(upTo map[string]int64, seconds float64) int64 {
	deadline := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	for {
		lost := c.lost(upTo)
		if lost == 0 || time.Now().After(deadline) || c.ctx.Err() != nil {
			c.count(func(counts *counts) { counts.lost += lost })
			return lost
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (c *Crowd) lost(upTo map[string]int64) int64 {
	var lost int64
	for _, one := range c.clients {
		one.mutex.Lock()
		lost += one.ledger.lost(c.after, upTo)
		one.mutex.Unlock()
	}
	return lost
}

// Size is how many clients were opened.
func (c *Crowd) Size() int {
	return len(c.clients)
}

// Close ends all streams. To be called before the iteration ends.
func (c *Crowd) Close() {
	c.closed.Do(func() {
		close(c.closing)
		c.mutex.Lock()
		clients := c.clients
		c.mutex.Unlock()
		for _, one := range clients {
			one.stream.close()
		}
		c.running.Wait()
		c.flush()
	})
}
