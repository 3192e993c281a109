"""What brings a cluster to life on one machine: certificates, kubeconfigs, the process supervisor, the doctor.

`layout` names every file under the data directory; `pki` makes keys and certificates; `kubeconfigs` writes who is who;
`components` says which processes there are; `supervisor` keeps them running, `keeper` keeps the supervisor running.
Nothing here knows what an object is: processes meet through the API.
"""
