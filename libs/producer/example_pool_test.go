package producer_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"os"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// Call agents over connections that are shared and kept.
func ExampleConnectionPool() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	pool, err := producer.NewConnectionPool(producer.PoolConfig{}) // 10 connections per agent, 60 s
	if err != nil {
		log.Error("new pool", slog.Any("error", err))
		return
	}
	defer pool.CloseAll()
	conn, err := pool.Get(ctx, "10.0.3.7:9092")
	if err != nil {
		log.Error("no connection", slog.Any("error", err))
		return
	}
	defer conn.Release()
	topic, err := streamhousev1.NewTopicServiceClient(conn).DescribeTopic(ctx, &streamhousev1.DescribeTopicRequest{Name: "orders"})
	if err != nil {
		log.Error("describe", slog.Any("error", err))
		return
	}
	log.Info("described", slog.Int("partitions", len(topic.GetPartitions())))
}

// Agents are reached by the addresses of their tasks, and proven by the name of
// their cluster. A client certificate makes TLS mutual.
func ExampleWithServerName() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	client, err := tls.LoadX509KeyPair("client.crt", "client.key")
	if err != nil {
		log.Error("client certificate", slog.Any("error", err))
		return
	}
	p, err := producer.New(context.Background(), "dns:///agents.streamhouse.internal:9092",
		producer.WithTLS(&tls.Config{Certificates: []tls.Certificate{client}, MinVersion: tls.VersionTLS13}),
		producer.WithServerName("agents.streamhouse.internal"))
	if err != nil {
		log.Error("new producer", slog.Any("error", err))
		return
	}
	defer func() { _ = p.Close(context.Background()) }() // nothing was sent
}
