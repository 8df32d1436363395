resource "azurerm_resource_group" "all" {
  name     = var.name
  location = var.location
}

# The all-versions-and-deletes feed, which shows deletes, comes with continuous backup.
resource "azurerm_cosmosdb_account" "data" {
  name                         = "${var.name}-cosmos"
  resource_group_name          = azurerm_resource_group.all.name
  location                     = azurerm_resource_group.all.location
  offer_type                   = "Standard"
  kind                         = "GlobalDocumentDB"
  local_authentication_enabled = false
  minimal_tls_version          = "Tls12"

  capabilities {
    name = "EnableServerless"
  }
  consistency_policy {
    consistency_level = "Session"
  }
  geo_location {
    location          = azurerm_resource_group.all.location
    failover_priority = 0
  }
  backup {
    type = "Continuous"
    tier = "Continuous7Days"
  }
}

# The function opens one database: `proa deploy` refuses tables in several.
locals {
  database  = try(values(var.tables)[0].database, "proa")
  databases = toset(concat(["proa"], [for t in var.tables : t.database]))
}

resource "azurerm_cosmosdb_sql_database" "data" {
  for_each            = local.databases
  name                = each.key
  resource_group_name = azurerm_resource_group.all.name
  account_name        = azurerm_cosmosdb_account.data.name
}

# default_ttl -1 lets an item have a life of its own and gives none to the others.
resource "azurerm_cosmosdb_sql_container" "replicated" {
  for_each              = var.tables
  name                  = each.key
  resource_group_name   = azurerm_resource_group.all.name
  account_name          = azurerm_cosmosdb_account.data.name
  database_name         = azurerm_cosmosdb_sql_database.data[each.value.database].name
  partition_key_paths   = [each.value.partition_key]
  partition_key_kind    = "Hash"
  partition_key_version = 2
  default_ttl           = each.value.ttl_attribute == null ? null : -1
}

# Data sync's own: its place in this region's feeds, and tombstones.
resource "azurerm_cosmosdb_sql_container" "state" {
  name                  = "proa_state"
  resource_group_name   = azurerm_resource_group.all.name
  account_name          = azurerm_cosmosdb_account.data.name
  database_name         = azurerm_cosmosdb_sql_database.data["proa"].name
  partition_key_paths   = ["/id"]
  partition_key_kind    = "Hash"
  partition_key_version = 2
}

# Losers of concurrent writes stay as versions; the change feed tells of writes.
resource "azurerm_storage_account" "data" {
  name                            = "${var.name}objects"
  resource_group_name             = azurerm_resource_group.all.name
  location                        = azurerm_resource_group.all.location
  account_tier                    = "Standard"
  account_replication_type        = "ZRS"
  min_tls_version                 = "TLS1_2"
  shared_access_key_enabled       = false
  default_to_oauth_authentication = true
  allow_nested_items_to_be_public = false

  blob_properties {
    versioning_enabled            = true
    change_feed_enabled           = true
    change_feed_retention_in_days = 7
    delete_retention_policy {
      days = 7
    }
  }
}

resource "azurerm_storage_container" "replicated" {
  for_each              = var.buckets
  name                  = each.value
  storage_account_id    = azurerm_storage_account.data.id
  container_access_type = "private"
}

# What changed, for data sync alone, which deletes what it has dealt with.
resource "azurerm_storage_queue" "notices" {
  for_each           = var.notices
  name               = each.value
  storage_account_id = azurerm_storage_account.data.id
}

resource "azurerm_eventgrid_system_topic" "objects" {
  count               = length(var.notices) == 0 ? 0 : 1
  name                = "${var.name}-objects"
  resource_group_name = azurerm_resource_group.all.name
  location            = azurerm_resource_group.all.location
  source_resource_id  = azurerm_storage_account.data.id
  topic_type          = "Microsoft.Storage.StorageAccounts"

  identity {
    type = "SystemAssigned"
  }
}

resource "azurerm_role_assignment" "notices" {
  count                = length(var.notices) == 0 ? 0 : 1
  scope                = azurerm_storage_account.data.id
  role_definition_name = "Storage Queue Data Message Sender"
  principal_id         = azurerm_eventgrid_system_topic.objects[0].identity[0].principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_eventgrid_system_topic_event_subscription" "notices" {
  for_each              = var.notices
  name                  = each.value
  system_topic          = azurerm_eventgrid_system_topic.objects[0].name
  resource_group_name   = azurerm_resource_group.all.name
  event_delivery_schema = "CloudEventSchemaV1_0"
  included_event_types  = ["Microsoft.Storage.BlobCreated", "Microsoft.Storage.BlobDeleted"]
  depends_on            = [azurerm_role_assignment.notices]

  subject_filter {
    subject_begins_with = "/blobServices/default/containers/${azurerm_storage_container.replicated[each.key].name}/"
    case_sensitive      = true
  }
  storage_queue_endpoint {
    storage_account_id                    = azurerm_storage_account.data.id
    queue_name                            = azurerm_storage_queue.notices[each.key].name
    queue_message_time_to_live_in_seconds = 1209600
  }
  delivery_identity {
    type = "SystemAssigned"
  }
}
