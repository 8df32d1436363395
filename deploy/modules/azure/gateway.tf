resource "azurerm_api_management" "gateway" {
  name                = "${var.name}-gateway"
  resource_group_name = azurerm_resource_group.all.name
  location            = azurerm_resource_group.all.location
  publisher_name      = var.name
  publisher_email     = var.publisher_email
  sku_name            = "Consumption_0"

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.function.id]
  }
}

resource "azurerm_api_management_api" "all" {
  name                  = var.name
  resource_group_name   = azurerm_resource_group.all.name
  api_management_name   = azurerm_api_management.gateway.name
  revision              = "1"
  display_name          = var.name
  path                  = ""
  protocols             = ["https"]
  subscription_required = false
  service_url           = "https://${azurerm_function_app_flex_consumption.function.default_hostname}"

  import {
    content_format = "openapi+json"
    content_value = jsonencode({
      openapi = "3.0.1"
      info    = { title = var.name, version = "1" }
      paths = {
        "/*" = {
          for method in ["get", "head", "post", "put", "patch", "delete", "options"] :
          method => { operationId = method, responses = { default = { description = "the function's" } } }
        }
      }
    })
  }
}

resource "azurerm_api_management_api_policy" "all" {
  resource_group_name = azurerm_resource_group.all.name
  api_management_name = azurerm_api_management.gateway.name
  api_name            = azurerm_api_management_api.all.name
  xml_content         = <<-XML
    <policies>
      <inbound>
        <base />
        <set-header name="X-Forwarded-Host" exists-action="override">
          <value>@(context.Request.OriginalUrl.Host)</value>
        </set-header>
      </inbound>
      <backend>
        <forward-request timeout="15" />
      </backend>
      <outbound>
        <base />
        <set-header name="X-Served-By" exists-action="override">
          <value>azure</value>
        </set-header>
      </outbound>
      <on-error>
        <base />
      </on-error>
    </policies>
  XML
}

# API Management answers only for a Host that it holds. Changes can take over 15 minutes: it must hold the
# users' host name and its certificate before a failover, not after it.
resource "azurerm_api_management_custom_domain" "zone" {
  api_management_id = azurerm_api_management.gateway.id
  gateway {
    host_name                       = var.zone
    key_vault_certificate_id        = var.certificate_id
    ssl_keyvault_identity_client_id = azurerm_user_assigned_identity.function.client_id
  }
}

# The region's own opinion of itself, one of the nodes' health checks.
resource "azurerm_monitor_metric_alert" "failing" {
  name                = "${var.name}-availability"
  resource_group_name = azurerm_resource_group.all.name
  scopes              = [azurerm_api_management.gateway.id]
  frequency           = "PT1M"
  window_size         = "PT1M"
  severity            = 1
  auto_mitigate       = true

  criteria {
    metric_namespace = "Microsoft.ApiManagement/service"
    metric_name      = "FailedRequests"
    aggregation      = "Total"
    operator         = "GreaterThan"
    threshold        = 10
  }
}
