service {
  name = "web"
  port = 80
  ports {
    name   = "admin"
    number = 8081
  }
  check {
    args = ["sh", "-c", <<-EOT
      curl -s localhost |
        grep -q ok
      EOT
    ]
    interval = "10s"
  }
  connect {
    sidecar_service {}
  }
  meta = {
    "a key"  = "${interpolated}"
    version  = 1.10
    "canary" = true
  }
}

service {
  name      = "db"
  addresses = ["10.0.0.7", { network = "backend", ip = "172.20.0.7" }]
}

checks = [
  {
    name = "up", service_id = "db", tcp = "10.0.0.7:5432"
  },
]
