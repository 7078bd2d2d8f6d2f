// Package seed holds the tests that the first design of the client named, as
// tests that can fail: against a real agent over real sockets, with every
// record read back. The full list, and where each test is now:
//
//	batch.rs
//	test_batch_record_size                        TestBatchRecordSize                      libs/producer
//	test_batch_buffer_append                      TestBatchBufferAppend                    libs/producer
//	test_batch_buffer_flush_on_size               TestBatchBufferFlushOnSize               libs/producer
//	test_batch_buffer_flush_on_bytes              TestBatchBufferFlushOnBytes              libs/producer
//	test_batch_buffer_drain                       TestBatchBufferDrain                     libs/producer
//	test_batch_manager_append                     TestBatchManagerAppend                   libs/producer
//	test_batch_manager_ready_batches              TestBatchManagerReadyBatches             libs/producer
//	test_batch_manager_flush_all                  TestBatchManagerFlushAll                 libs/producer
//
//	retry.rs
//	test_retry_policy_default                     TestRetryPolicyDefault                   libs/producer
//	test_backoff_calculation                      TestBackoffCalculation                   libs/producer
//	test_backoff_max_cap                          TestBackoffMaxCap                        libs/producer
//	test_is_retryable                             TestIsRetryable                          libs/producer
//	test_retry_with_backoff_success               TestRetryWithBackoffSuccess              libs/producer
//	test_retry_with_backoff_eventual_success      TestRetryWithBackoffEventualSuccess      libs/producer
//	test_retry_with_backoff_non_retryable         TestRetryWithBackoffNonRetryable         libs/producer
//	test_retry_with_backoff_exhausted             TestRetryWithBackoffExhausted            libs/producer
//
//	connection_pool.rs, whose fourth test is in the advanced suite
//	test_connection_pool_creation                 TestConnectionPoolCreation               libs/producer
//	test_mark_unhealthy                           TestMarkUnhealthy                        libs/producer
//	test_close_all                                TestCloseAll                             libs/producer
//
//	integration_grpc.rs, the basic suite
//	test_producer_agent_basic                     TestProducerAgentBasic                   tests/seed
//	test_producer_agent_no_lease                  TestProducerAgentNoLease                 tests/seed
//	test_batch_manager                            TestBatchManager                         libs/producer
//	test_connection_pool                          TestConnectionPool                       libs/producer
//	test_retry_policy                             TestRetryPolicy                          libs/producer
//	test_producer_agent_throughput                TestProducerAgentThroughput              tests/seed
//
//	grpc_advanced.rs, the advanced suite
//	test_concurrent_clients                       TestConcurrentClients                    tests/seed
//	test_large_batches                            TestLargeBatches                         tests/seed
//	test_batch_manager_flush_triggers             TestBatchManagerFlushTriggers            libs/producer
//	test_batch_manager_bytes_trigger              TestBatchManagerBytesTrigger             libs/producer
//	test_batch_manager_time_trigger               TestBatchManagerTimeTrigger              libs/producer
//	test_retry_exhaustion                         TestRetryExhaustion                      libs/producer
//	test_retry_non_retryable_immediate_failure    TestRetryNonRetryableImmediateFailure    libs/producer
//	test_empty_batch_handling                     TestEmptyBatchHandling                   tests/seed
//	test_invalid_topic                            TestInvalidTopic                         tests/seed
//	test_multiple_partitions                      TestMultiplePartitions                   tests/seed
//	test_record_ordering                          TestRecordOrdering                       tests/seed
//	test_batch_manager_multi_partition            TestBatchManagerMultiPartition           libs/producer
//	test_connection_pool_max_connections          TestConnectionPoolMaxConnections         libs/producer
//
// The throughput that the first design reported is measured, not asserted:
// BenchmarkProducerAgentThroughput.
package seed
