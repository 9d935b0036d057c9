# what camel.json says, as Consul's users write it in HCL
services {
  id      = "orders-1"
  name    = "orders"
  tags    = ["v2", "blue"]
  address = "10.1.2.3"
  port    = 0x2382
  meta {
    build_no = "117"
  }
  enable_tag_override = true
  token               = "b1946ac9-secret" // not kept
  weights { Passing = 7, Warning = 2 }
  tagged_addresses = {
    "wan" = { Address = "198.51.100.9", Port = 19090 }
  }
  connect = { Native = true }

  /* two checks: each its own block */
  check {
    check_id = "orders-http"
    name     = "HTTP answers"
    http     = "https://10.1.2.3:9090/healthz"
    method   = "POST"
    header = {
      X-Probe = ["a", "b"]
      Accept  = "text/plain",
    }
    body                              = "{}"
    tls_server_name                   = "orders.internal"
    tls_skip_verify                   = true
    interval                          = "15s"
    timeout                           = "2s"
    success_before_passing            = 2
    failures_before_warning           = 1
    failures_before_critical          = 3
    deregister_critical_service_after = "90m"
    notes                             = "asks the health endpoint"
  }
  check {
    ttl    = "30s"
    status = "passing"
  }
}

check = {
  name     = "disk"
  args     = ["/usr/local/bin/disk-check", "-w", "80"]
  interval = "1m"
}
