variable "name" {
  description = "Prefix of every name: lower-case letters and digits, 3 to 11 characters."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9]{2,10}$", var.name))
    error_message = "Use 3 to 11 lower-case letters and digits, a letter first: storage accounts allow no more."
  }
}

variable "zone" {
  description = "The host name that users ask for; proa's name servers answer for it."
  type        = string
}

variable "tables" {
  description = "Replicated tables, as in proa.yaml."
  type = map(object({
    hash_name     = string
    hash_type     = string
    range_name    = optional(string)
    range_type    = optional(string)
    ttl_attribute = optional(string)
    database      = string
    partition_key = string
  }))
}

variable "buckets" {
  description = "Replicated buckets: S3 bucket to Blob container."
  type        = map(string)
}

variable "notices" {
  description = "Queues of what changed, by S3 bucket: the SQS queue and the storage queue have one name."
  type        = map(string)
}

variable "function_zip" {
  description = "The one package that both clouds run: bootstrap, host.json, api/function.json."
  type        = string
}

variable "health_path" {
  description = "The path that probes request."
  type        = string
  default     = "/healthz"
}

variable "announce_url" {
  description = "Where functions announce their writes: https://NODE/v1/announce, empty for nowhere."
  type        = string
  default     = ""
}

variable "lease_url" {
  description = "Where functions ask for write leases: every node's https://NODE/v1/lease, with commas between."
  type        = string
  default     = ""
}

variable "fenced_tables" {
  description = "Tables that a function writes under a lease only, with commas between."
  type        = string
  default     = ""
}

variable "announce_token" {
  description = "Bearer token of announce_url and lease_url. Set it by TF_VAR_announce_token, not in a file."
  type        = string
  default     = ""
  sensitive   = true
}

variable "log_retention_days" {
  description = "How long both clouds keep the function's log."
  type        = number
  default     = 30
}

variable "aws_region" {
  description = "AWS region, such as us-east-1."
  type        = string
}

variable "aws_certificate_arn" {
  description = "ACM certificate of the zone in this region. Needed before the first failover."
  type        = string
}

variable "aws_node_principals" {
  description = "ARNs of the roles under which the nodes run; they may assume the role of the nodes."
  type        = list(string)
  default     = []
}

variable "azure_subscription_id" {
  description = "Azure subscription."
  type        = string
}

variable "azure_location" {
  description = "Azure region, such as westeurope."
  type        = string
}

variable "azure_certificate_id" {
  description = "Key Vault secret id of the zone's certificate. Needed before the first failover."
  type        = string
}

variable "azure_publisher_email" {
  description = "Address that API Management writes to."
  type        = string
}

variable "azure_node_federation" {
  description = "Outside identities (issuer and subject) that may act as the nodes' identity, by name."
  type        = map(object({ issuer = string, subject = string }))
  default     = {}
}
