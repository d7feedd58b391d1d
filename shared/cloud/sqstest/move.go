package sqstest

import (
	"net/http"
	"time"
)

type moveTask struct {
	TaskHandle                        string `json:",omitempty"`
	SourceArn                         string
	DestinationArn                    string
	Status                            string
	StartedTimestamp                  int64
	ApproximateNumberOfMessagesMoved  int
	ApproximateNumberOfMessagesToMove int
}

type startMessageMoveTaskInput struct {
	SourceArn      string
	DestinationArn string
}

type startMessageMoveTaskOutput struct{ TaskHandle string }

// startMessageMoveTask moves all messages before it returns. A moved message has a new id and a receive count of 0.
func (s *Server) startMessageMoveTask(_ *http.Request, in *startMessageMoveTaskInput) (startMessageMoveTaskOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, err := s.queue(in.SourceArn)
	if err != nil {
		return startMessageMoveTaskOutput{}, err
	}
	to, err := s.queue(in.DestinationArn)
	if err != nil {
		return startMessageMoveTaskOutput{}, err
	}
	if !s.takesDeadLetters(from) {
		return startMessageMoveTaskOutput{}, fail("UnsupportedOperation", "%q is no dead-letter queue", from.name)
	}
	now := time.Now()
	task := moveTask{SourceArn: in.SourceArn, DestinationArn: in.DestinationArn, Status: "COMPLETED", StartedTimestamp: now.UnixMilli()}
	for _, m := range from.movable(now) {
		from.remove(m)
		to.add(&message{body: m.body, group: m.group, trace: m.trace}, now, 0)
		task.ApproximateNumberOfMessagesMoved++
	}
	task.ApproximateNumberOfMessagesToMove = task.ApproximateNumberOfMessagesMoved
	s.moves = append(s.moves, task)
	return startMessageMoveTaskOutput{newID()}, nil
}

func (s *Server) takesDeadLetters(q *queue) bool {
	for _, other := range s.queues {
		if other.deadName == q.name {
			return true
		}
	}
	return false
}

// movable returns the messages that are visible.
func (q *queue) movable(now time.Time) []*message {
	var ms []*message
	for _, m := range q.waiting {
		if !m.visible.After(now) {
			ms = append(ms, m)
		}
	}
	return ms
}

type listMessageMoveTasksInput struct {
	SourceArn  string
	MaxResults int
}

type listMessageMoveTasksOutput struct{ Results []moveTask }

func (s *Server) listMessageMoveTasks(_ *http.Request, in *listMessageMoveTasksInput) (listMessageMoveTasksOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out listMessageMoveTasksOutput
	for _, m := range s.moves {
		if m.SourceArn == in.SourceArn {
			out.Results = append(out.Results, m)
		}
	}
	return out, nil
}
