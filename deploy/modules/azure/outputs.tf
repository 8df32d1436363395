output "gateway_url" { value = "https://${var.zone}" }
output "gateway_target" { value = trimprefix(azurerm_api_management.gateway.gateway_url, "https://") }
output "alert" { value = azurerm_monitor_metric_alert.failing.name }
output "cosmos_endpoint" { value = azurerm_cosmosdb_account.data.endpoint }
output "storage_endpoint" { value = azurerm_storage_account.data.primary_blob_endpoint }
output "node_client_id" { value = azurerm_user_assigned_identity.node.client_id }
