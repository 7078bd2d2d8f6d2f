// Package holes keeps the holes of an earlier attempt at this system closed. It
// lost, doubled and swapped records in ways that are numbered here. Each has a
// test that names it, over the real agent and the real producer, and that fails
// when the fix is taken out: its comment says what was broken to see that. Most
// have closer ones beside the code.
//
//	hole                                                    here                  beside the code, and elsewhere
//	 1 acknowledged from memory                             TestHole01            host TestRestart, e2e TestKill9
//	 2 three failed PUTs threw a segment away               TestHole02            flush TestEveryFault, TestOverloaded
//	 3 so did a failed commit after a good PUT              TestHole03            flush TestEveryFault, journal TestWriterEveryFault
//	 4 a cancelled request aborted others' segment          TestHole04            rpc TestBrokenConnection
//	 5 leases were released before the flush                TestHole05            flush TestRelease, TestDrain, e2e TestSIGTERMUnderLoad
//	 6 a lease regained went on at stale offsets            TestHole06            flush TestRelease, TestNewTenure
//	 7 the client dropped failed batches in silence         TestHole07            producer TestFailuresAreReported
//	 8 no fencing token                                     TestHole08, faults    host TestFenced, journal TestFenced
//	 9 object keys were derived from offsets                TestHole09            flush, whose keys are random
//	10 the end of the log was set blindly                   TestHole10            journal TestSealAgainstWriter
//	11 two processes of one name shared a lease             TestHole11            session TestFreshIDs, e2e TestTwoAgentsOnOneFolder
//	12 leases compared clocks of two machines               TestHole12            session TestLeaseCountsFromRequest, members TestCrash
//	13 a retry after a timeout appended twice               TestHole13            flush TestRepeats, rpc TestProduceIdempotent
//	14 an error left half of a batch                        TestHole14            flush TestEveryFault
//	15 a failed write's retry was taken for a duplicate     TestHole15            producers TestInFlightIsNotStored
//	16 segments above 1 MiB decoded wrong offsets           TestHole16            flush TestLargeBatches
//	17 offsets of concurrent sends were swapped             TestHole17            flush TestConcurrentProducers
//	18 a failed acquisition counted as done                 TestHole18, faults    host, which reconciles at every tick
//	19 NOT_FOUND was permanent                              faults                producer TestOwnerChangeReasons
//	20 the connection pool limited nothing                  -                     producer TestConnectionPoolMaxConnections
//	21 memory was unbounded                                 TestHole21            flush TestOverloaded, producer TestFullBufferBlocks,
//	   one dead agent stalled everything                                          producer TestDeadAgentStallsNoOtherPartition
//	22 a message too large was repeated for ever            TestHole22            producer TestBacklogIsSentInSmallRequests
//	23 a slow PUT stalled the agent                         TestHole23            flush TestParallelPuts
//	24 one metadata read per request                        TestHole24            topics TestLookupsAreCached
//	25 keys were hashed differently in each language        TestHole25            producer TestKeyedRecordsGoWhereOtherClientsPutThem
//	26 tests could not fail: none read a record back,       faults, all of these  history TestCheckFindsPlantedFaults,
//	   killed an agent or failed the store                                        e2e TestKill9, TestOddRecords, TestRealText
//
// "faults" are the stories of package faults.
package holes
