# What a node may do: follow the change feeds, write by compare-and-set, read the alert. Nodes outside Azure
# sign in with tokens of their own issuer (federation); no secret is kept.
resource "azurerm_user_assigned_identity" "node" {
  name                = "${var.name}-node"
  resource_group_name = azurerm_resource_group.all.name
  location            = azurerm_resource_group.all.location
}

resource "azurerm_federated_identity_credential" "node" {
  for_each                  = var.node_federation
  name                      = each.key
  user_assigned_identity_id = azurerm_user_assigned_identity.node.id
  audience                  = ["api://AzureADTokenExchange"]
  issuer                    = each.value.issuer
  subject                   = each.value.subject
}

resource "azurerm_cosmosdb_sql_role_assignment" "node" {
  resource_group_name = azurerm_resource_group.all.name
  account_name        = azurerm_cosmosdb_account.data.name
  role_definition_id  = "${azurerm_cosmosdb_account.data.id}/sqlRoleDefinitions/00000000-0000-0000-0000-000000000002"
  principal_id        = azurerm_user_assigned_identity.node.principal_id
  scope               = azurerm_cosmosdb_account.data.id
}

resource "azurerm_role_assignment" "node_objects" {
  scope                = azurerm_storage_account.data.id
  role_definition_name = "Storage Blob Data Contributor"
  principal_id         = azurerm_user_assigned_identity.node.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "node_notices" {
  count                = length(var.notices) == 0 ? 0 : 1
  scope                = azurerm_storage_account.data.id
  role_definition_name = "Storage Queue Data Message Processor"
  principal_id         = azurerm_user_assigned_identity.node.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "node_monitor" {
  scope                = azurerm_resource_group.all.id
  role_definition_name = "Monitoring Reader"
  principal_id         = azurerm_user_assigned_identity.node.principal_id
  principal_type       = "ServicePrincipal"
}
