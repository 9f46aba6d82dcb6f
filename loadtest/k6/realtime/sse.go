package realtime

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// sseStream is a stream of server-sent events on a connection of its own.
//
// It speaks HTTP itself: net/http's client keeps two goroutines and two buffers of 4 kB for every connection, twice of
// what all the rest here needs.
type sseStream struct {
	conn net.Conn
	body *bufio.Reader
}

// openSSE connects, and subscribes by a POST over `posts`, as PocketBase's SDKs do.
func openSSE(ctx context.Context, dial dialer, posts *http.Client, options *Options, token string) (transport, error) {
	target := *options.url
	target.Path += "/api/realtime"
	conn, err := dial(ctx, &target)
	if err != nil {
		return nil, err
	}
	stream := &sseStream{conn: conn}
	// Whoever gives up closes the connection: this ends the reads below.
	stop := context.AfterFunc(ctx, stream.close)
	id, err := stream.connect(&target)
	if err == nil {
		err = subscribe(ctx, posts, &target, id, options.Topic, token)
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		stream.close()
		return nil, err
	}
	return stream, nil
}

// connect sends the request and waits for the first event, which says who we are.
func (s *sseStream) connect(target *url.URL) (clientID string, err error) {
	request, err := http.NewRequest(http.MethodGet, target.String(), nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("Accept", "text/event-stream")
	if err := request.Write(s.conn); err != nil {
		return "", err
	}
	response, err := http.ReadResponse(bufio.NewReaderSize(s.conn, 1024), request)
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the stream was answered with %s", response.Status)
	}
	s.body = bufio.NewReaderSize(response.Body, 1024)
	first, err := s.next()
	if err != nil {
		return "", err
	}
	var connect struct{ ClientID string }
	if err := json.Unmarshal(first.data, &connect); err != nil || connect.ClientID == "" {
		return "", fmt.Errorf("the first event is no PB_CONNECT: %q", first.data)
	}
	return connect.ClientID, nil
}

func subscribe(ctx context.Context, posts *http.Client, target *url.URL, id, topic, token string) error {
	body, err := json.Marshal(map[string]any{"clientId": id, "subscriptions": []string{topic}})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", token)
	}
	response, err := posts.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusNoContent {
		err = fmt.Errorf("the subscription was answered with %s %s", response.Status, answer)
	}
	return err
}

// next reads to the end of an event that has data: comments, which keep a connection alive, are passed over.
func (s *sseStream) next() (message, error) {
	var event message
	for {
		line, err := s.body.ReadBytes('\n')
		if err != nil {
			return message{}, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			if event.data != nil {
				return event, nil
			}
			event = message{}
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "id":
			event.position = string(value)
		case "data":
			event.data = value
		}
	}
}

func (s *sseStream) close() {
	s.conn.Close()
}
