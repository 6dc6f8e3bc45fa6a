"""`make bench-server`: the embedded server's speed, memory and exactness under load.

From the outside in: phases of the run (throughput, memory, clockerror, churn), what they run
(contenders: the servers; wrk and load: the load), and what is made of their figures (marks,
report, picture). Everything happens on loopback: the servers on one core, the load on another.
"""
