resource "azurerm_user_assigned_identity" "function" {
  name                = "${var.name}-function"
  resource_group_name = azurerm_resource_group.all.name
  location            = azurerm_resource_group.all.location
}

resource "azurerm_storage_container" "code" {
  name                  = "proa-functions"
  storage_account_id    = azurerm_storage_account.data.id
  container_access_type = "private"
}

resource "azurerm_service_plan" "function" {
  name                = var.name
  resource_group_name = azurerm_resource_group.all.name
  location            = azurerm_resource_group.all.location
  os_type             = "Linux"
  sku_name            = "FC1"
}

# https://learn.microsoft.com/azure/azure-functions/functions-custom-handlers: the same package as on AWS.
resource "azurerm_function_app_flex_consumption" "function" {
  name                = "${var.name}-function"
  resource_group_name = azurerm_resource_group.all.name
  location            = azurerm_resource_group.all.location
  service_plan_id     = azurerm_service_plan.function.id

  storage_container_type            = "blobContainer"
  storage_container_endpoint        = "${azurerm_storage_account.data.primary_blob_endpoint}${azurerm_storage_container.code.name}"
  storage_authentication_type       = "UserAssignedIdentity"
  storage_user_assigned_identity_id = azurerm_user_assigned_identity.function.id

  runtime_name          = "custom"
  runtime_version       = "1.0"
  instance_memory_in_mb = 512
  https_only            = true
  zip_deploy_file       = var.function_zip

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.function.id]
  }
  app_settings = merge({
    COSMOS_DATABASE        = local.database
    AZURE_CLIENT_ID        = azurerm_user_assigned_identity.function.client_id
    COSMOS_ENDPOINT        = azurerm_cosmosdb_account.data.endpoint
    AZURE_STORAGE_ENDPOINT = azurerm_storage_account.data.primary_blob_endpoint
    }, var.announce_url == "" ? {} : {
    PROA_ANNOUNCE_URL   = var.announce_url
    PROA_ANNOUNCE_TOKEN = var.announce_token
    }, var.fenced_tables == "" ? {} : {
    PROA_FENCED_TABLES  = var.fenced_tables
    PROA_LEASE_URL      = var.lease_url
    PROA_ANNOUNCE_TOKEN = var.announce_token
  })
  site_config {
    minimum_tls_version                    = "1.2"
    application_insights_connection_string = azurerm_application_insights.function.connection_string
  }
  depends_on = [azurerm_role_assignment.function_objects]
}

resource "azurerm_log_analytics_workspace" "logs" {
  name                = var.name
  resource_group_name = azurerm_resource_group.all.name
  location            = azurerm_resource_group.all.location
  sku                 = "PerGB2018"
  retention_in_days   = var.log_retention_days
}

resource "azurerm_application_insights" "function" {
  name                = var.name
  resource_group_name = azurerm_resource_group.all.name
  location            = azurerm_resource_group.all.location
  application_type    = "web"
  workspace_id        = azurerm_log_analytics_workspace.logs.id
}

resource "azurerm_role_assignment" "function_objects" {
  scope                = azurerm_storage_account.data.id
  role_definition_name = "Storage Blob Data Contributor"
  principal_id         = azurerm_user_assigned_identity.function.principal_id
  principal_type       = "ServicePrincipal"
}

# 00000000-0000-0000-0000-000000000002 is Cosmos DB's built-in data contributor.
resource "azurerm_cosmosdb_sql_role_assignment" "function" {
  resource_group_name = azurerm_resource_group.all.name
  account_name        = azurerm_cosmosdb_account.data.name
  role_definition_id  = "${azurerm_cosmosdb_account.data.id}/sqlRoleDefinitions/00000000-0000-0000-0000-000000000002"
  principal_id        = azurerm_user_assigned_identity.function.principal_id
  scope               = azurerm_cosmosdb_account.data.id
}
