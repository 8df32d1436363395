variable "name" { type = string }
variable "location" { type = string }
variable "zone" { type = string }
variable "tables" {
  type = map(object({
    ttl_attribute = optional(string)
    database      = string
    partition_key = string
  }))
}
variable "buckets" { type = map(string) }
variable "notices" { type = map(string) }
variable "function_zip" { type = string }
variable "announce_url" { type = string }
variable "lease_url" { type = string }
variable "fenced_tables" { type = string }
variable "announce_token" {
  type      = string
  sensitive = true
}
variable "certificate_id" { type = string }
variable "publisher_email" { type = string }
variable "node_federation" { type = map(object({ issuer = string, subject = string })) }
variable "log_retention_days" { type = number }
