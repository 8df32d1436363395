terraform {
  required_version = ">= 1.9"
  required_providers {
    aws     = { source = "hashicorp/aws", version = "~> 6.0" }
    azurerm = { source = "hashicorp/azurerm", version = "~> 5.0" }
  }
}

provider "aws" {
  region = var.aws_region
}

provider "azurerm" {
  subscription_id = var.azure_subscription_id
  # Keys of the storage account are switched off: the provider signs in with its identity there too.
  storage_use_azuread = true
  features {}
}
