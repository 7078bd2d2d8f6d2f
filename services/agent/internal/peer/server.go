package peer

import (
	"context"

	"google.golang.org/grpc"

	"github.com/streamhouse/streamhouse/proto/reason"
	peerv1 "github.com/streamhouse/streamhouse/proto/streamhouse/peer/v1"
	"github.com/streamhouse/streamhouse/services/agent/internal/host"
)

// Register adds the service to a listener's server. Current is the session that
// answers, nil while there is none.
func Register(to grpc.ServiceRegistrar, current func() *host.Host) {
	peerv1.RegisterPeerServiceServer(to, &server{current: current})
}

type server struct {
	peerv1.UnimplementedPeerServiceServer

	current func() *host.Host
}

// session is the host of the session that is asked for. Its address may have
// gone to another one.
func (s *server) session(id string) (*host.Host, error) {
	h := s.current()
	if h == nil || h.Session.ID != id {
		return nil, reason.New(reason.NotOwner, "session %s is not here any more", id)
	}
	return h, nil
}

func (s *server) Offer(_ context.Context, req *peerv1.OfferRequest) (*peerv1.OfferResponse, error) {
	h, err := s.session(req.GetSession())
	if err != nil {
		return nil, err
	}
	return &peerv1.OfferResponse{Taken: toProto(h.Offered(fromProto(req.GetPartitions())))}, nil
}

func (s *server) HandOver(ctx context.Context, req *peerv1.HandOverRequest) (*peerv1.HandOverResponse, error) {
	h, err := s.session(req.GetSession())
	if err != nil {
		return nil, err
	}
	if err := h.HandedOver(ctx, fromProto(req.GetPartitions())); err != nil {
		return nil, err
	}
	return &peerv1.HandOverResponse{}, nil
}

func (s *server) Wake(_ context.Context, req *peerv1.WakeRequest) (*peerv1.WakeResponse, error) {
	h, err := s.session(req.GetSession())
	if err != nil {
		return nil, err
	}
	h.Kick()
	return &peerv1.WakeResponse{}, nil
}
