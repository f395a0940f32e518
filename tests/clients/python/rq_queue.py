"""RQ: jobs are queued, one waits for another, one fails, one is retried; `rq worker` does them."""

import os
import subprocess
import sys
from pathlib import Path

import redis
import rq_jobs
from rq import Queue, Retry
from rq.job import JobStatus

url = sys.argv[1]
connection = redis.from_url(url)
connection.flushdb()
queue = Queue("work", connection=connection)
first = queue.enqueue(rq_jobs.add, 2, 3)
behind = queue.enqueue(rq_jobs.add, 20, 30, depends_on=first)
failing = queue.enqueue(rq_jobs.fail)
retried = queue.enqueue(rq_jobs.fail_once, url, retry=Retry(max=2))
many = queue.enqueue_many([Queue.prepare_data(rq_jobs.add, (i, i)) for i in range(5)])
assert behind.get_status() == JobStatus.DEFERRED
assert queue.count == 8

worker = [str(Path(sys.executable).with_name("rq")), "worker", "--burst", "--url", url, "work"]
surroundings = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
subprocess.run(worker, env=surroundings, check=True, timeout=100)

assert (first.return_value(refresh=True), behind.return_value(refresh=True)) == (5, 50)
assert first.get_meta()["seen by"] != os.getpid()
assert [job.return_value(refresh=True) for job in many] == [0, 2, 4, 6, 8]
assert failing.get_status() == JobStatus.FAILED
assert "this job always fails" in failing.latest_result().exc_string
assert retried.return_value(refresh=True) == "the second time"
assert queue.failed_job_registry.get_job_ids() == [failing.id]
assert queue.count == 0
