output "proa_yaml" {
  description = "The regions section of proa.yaml: terraform output -raw proa_yaml"
  value = yamlencode({
    regions = {
      aws = {
        region  = var.aws_region
        alarm   = module.aws.alarm
        gateway = { url = module.aws.gateway_url, health = var.health_path, addresses = [] }
      }
      azure = {
        cosmos_endpoint  = module.azure.cosmos_endpoint
        storage_endpoint = module.azure.storage_endpoint
        subscription     = var.azure_subscription_id
        alert            = module.azure.alert
        gateway          = { url = module.azure.gateway_url, health = var.health_path, addresses = [] }
      }
    }
  })
}

output "records" {
  description = "Names that the zone must alias, and the records that prove its ownership to both clouds."
  value = {
    aws_gateway          = module.aws.gateway_target
    azure_gateway        = module.azure.gateway_target
    aws_node_role        = module.aws.node_role
    azure_node_client_id = module.azure.node_client_id
  }
}
