package realtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/gorilla/websocket"
)

// socket is a WebSocket. Pings are answered by the library, while next reads.
type socket struct {
	conn *websocket.Conn
}

// What clients send is small and rare: they need no buffer of their own for it.
var writeBuffers = &sync.Pool{}

// openSocket connects, waits for the server's first message, subscribes, and waits for the answer.
func openSocket(ctx context.Context, dial dialer, options *Options, token string) (transport, error) {
	target := *options.url
	// http becomes ws, https becomes wss.
	target.Scheme = strings.Replace(target.Scheme, "http", "ws", 1)
	target.Path += "/api/realtime"
	connect := func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, options.url) }
	dialer := websocket.Dialer{
		NetDialContext:    connect,
		NetDialTLSContext: connect,
		ReadBufferSize:    1024,
		WriteBufferSize:   1024,
		WriteBufferPool:   writeBuffers,
	}
	conn, response, err := dialer.DialContext(ctx, target.String(), nil)
	if err != nil {
		if errors.Is(err, websocket.ErrBadHandshake) {
			err = fmt.Errorf("the WebSocket was answered with %s", response.Status)
		}
		return nil, err
	}
	stream := &socket{conn}
	stop := context.AfterFunc(ctx, stream.close)
	err = stream.subscribe(options.Topic, token)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		stream.close()
		return nil, err
	}
	return stream, nil
}

func (s *socket) subscribe(topic, token string) error {
	if err := s.expect("connect"); err != nil {
		return err
	}
	body := map[string]any{"id": 1, "subscriptions": []string{topic}}
	if token != "" {
		body["token"] = token
	}
	if err := s.conn.WriteJSON(body); err != nil {
		return err
	}
	return s.expect("ok")
}

func (s *socket) expect(kind string) error {
	_, frame, err := s.conn.ReadMessage()
	if err != nil {
		return err
	}
	var head struct{ Type string }
	if err := json.Unmarshal(frame, &head); err != nil || head.Type != kind {
		return fmt.Errorf("instead of %q came %s", kind, frame)
	}
	return nil
}

func (s *socket) next() (message, error) {
	_, frame, err := s.conn.ReadMessage()
	return message{data: frame}, err
}

func (s *socket) close() {
	s.conn.Close()
}
