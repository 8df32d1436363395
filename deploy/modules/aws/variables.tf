variable "name" { type = string }
variable "zone" { type = string }
variable "tables" {
  type = map(object({
    hash_name     = string
    hash_type     = string
    range_name    = optional(string)
    range_type    = optional(string)
    ttl_attribute = optional(string)
  }))
}
variable "buckets" { type = map(string) }
variable "notices" { type = map(string) }
variable "function_zip" { type = string }
variable "health_path" { type = string }
variable "announce_url" { type = string }
variable "lease_url" { type = string }
variable "fenced_tables" { type = string }
variable "announce_token" {
  type      = string
  sensitive = true
}
variable "certificate_arn" { type = string }
variable "node_principals" { type = list(string) }
variable "log_retention_days" { type = number }
