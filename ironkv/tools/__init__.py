"""What people run beside a cluster: start it, look at it, check it, measure it.

Everything here meets a node as any client does, through its socket and its process, and needs only the
standard library. So a broken node cannot break the tool that is to tell us so, and `status` answers before
anything is installed.

    client       a small blocking Redis client: RESP2, RESP3, pipelines, raw bytes
    access       how a tool gets into a node: address, password, TLS
    processes    who is this process, is it still the same one, who holds that port
    nodes        a node from outside: its settings, its process, the facts it reports
    cluster      several nodes: find the leader, wait for a condition; a throwaway cluster for tests
    load         writers that remember what was acknowledged, and the check that all of it is there
    control      the verbs of start_cluster.sh
    quick_check  `start_cluster.sh test`
    bench        `tools/bench`
    ctl          `ironkv-ctl`
"""
