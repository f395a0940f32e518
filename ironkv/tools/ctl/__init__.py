"""`ironkv-ctl`: look at a cluster, change it, and be told what would go wrong with it.

redis-cli is the client for everything else. All is asked over the client port, of the nodes that any of them
names; nothing but a password is needed.

    seen      what every node says of itself, asked at the same time
    status    a live table of it
    members   who belongs to the cluster; adding, removing, promoting, handing leadership over
    doctor    findings about the cluster, its machines and a disk, in plain words
"""
