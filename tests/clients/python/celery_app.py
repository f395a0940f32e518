"""The application that the worker of Celery is started with: broker and results in Redis."""

import os

from celery import Celery

URL = os.environ["CLIENT_URL"]
app = Celery("celery_app", broker=URL, backend=URL)
app.conf.update(task_default_queue="celery", broker_connection_retry_on_startup=True)


@app.task
def add(a: int, b: int) -> int:
    return a + b


@app.task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@app.task(bind=True, max_retries=1, default_retry_delay=0)
def second_try(self) -> int:
    if self.request.retries == 0:
        raise self.retry()
    return int(self.request.retries)


@app.task
def fail() -> None:
    raise ValueError("this task always fails")
